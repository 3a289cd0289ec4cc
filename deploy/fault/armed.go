package fault

import (
	"sync"
)

// Armed is a fault in place, until it has hit often enough or is released.
type Armed struct {
	fault    Fault
	hits     chan Hit
	released chan struct{}
	once     sync.Once

	mu    sync.Mutex
	count int
}

// Hit is one request that the fault has hit.
type Hit struct {
	// Statement is the SQL without its data, Token the deduplication token that
	// it carries, Bytes the size of its data.
	Statement, Token string
	Bytes            int
	// Answer brings what the server said, once it has; nothing comes when nothing
	// was passed on.
	Answer <-chan Answer

	answer chan<- Answer
}

// Answer is what the server said to a request that was passed on.
type Answer struct {
	Status int   // of HTTP; 0 with an error
	Code   int   // of the ClickHouse exception; 0 is none
	Err    error // the server could not be asked
}

// hitsKept bounds the hits that nobody has looked at yet.
const hitsKept = 1024

func newArmed(f Fault) *Armed {
	return &Armed{fault: f, hits: make(chan Hit, hitsKept), released: make(chan struct{})}
}

// Hits brings each hit as it happens: for HoldAnswer that is when the server has
// the whole request, for LoseAnswer when it has answered, for the others before
// anything is passed on.
func (a *Armed) Hits() <-chan Hit { return a.hits }

// Count is how many requests were hit so far.
func (a *Armed) Count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

// Release ends the fault: later requests pass, and what is held goes on.
func (a *Armed) Release() { a.once.Do(func() { close(a.released) }) }

// take says whether a request is to be hit, and counts it.
func (a *Armed) take(statement string) bool {
	select {
	case <-a.released:
		return false
	default:
	}
	if !a.fault.hits(statement) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fault.Times > 0 && a.count >= a.fault.Times {
		return false
	}
	a.count++
	return true
}

// tell passes a hit to whoever looks. With nobody looking for long, later hits
// are only counted.
func (a *Armed) tell(h Hit) {
	select {
	case a.hits <- h:
	default:
	}
}
