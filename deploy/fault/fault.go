package fault

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind is a way in which things break.
type Kind string

// The kinds. "Passed on" means that the server gets the whole request and works
// on it.
const (
	// Delay passes a request on after Fault.Delay.
	Delay Kind = "delay"
	// Refuse resets the client's connection; nothing is passed on.
	Refuse Kind = "refuse"
	// Fail answers with the exception Fault.Code; nothing is passed on.
	Fail Kind = "fail"
	// CutRequest passes on half of the body and breaks both connections.
	CutRequest Kind = "cut-request"
	// CutAnswer passes on, sends the client the head of an answer that promises
	// more than comes, and resets its connection.
	CutAnswer Kind = "cut-answer"
	// LoseAnswer passes on, waits for the server's answer, and resets the client's
	// connection instead of giving it: what was inserted is stored, and the client
	// does not know.
	LoseAnswer Kind = "lose-answer"
	// HoldRequest keeps a request, even of a client that is gone, and passes it on
	// when it is released: an insert that was on its way all the time.
	HoldRequest Kind = "hold-request"
	// HoldAnswer passes on and keeps the answer until it is released.
	HoldAnswer Kind = "hold-answer"
	// Repeat passes a request on Fault.Copies times, one after the other, and
	// answers with the last answer, or the first one that is an error.
	Repeat Kind = "repeat"
)

// Fault says what breaks, for which requests, and how often.
type Fault struct {
	Kind Kind
	// Statement must be contained in the statement of a request for the fault to
	// hit it. Empty means every INSERT.
	Statement string
	// Times is how many requests it hits; 0 means all until it is released.
	Times int
	// Delay is how long Delay waits.
	Delay time.Duration
	// Code is the ClickHouse error that Fail answers with, such as 252.
	Code int
	// Copies is how often Repeat passes a request on.
	Copies int
}

// Validate says what is missing.
func (f Fault) Validate() error {
	switch f.Kind {
	case Refuse, CutRequest, CutAnswer, LoseAnswer, HoldRequest, HoldAnswer:
		return nil
	case Delay:
		if f.Delay <= 0 {
			return fmt.Errorf("arm fault %s: Delay %v: want a positive duration", f.Kind, f.Delay)
		}
	case Fail:
		if f.Code <= 0 {
			return fmt.Errorf("arm fault %s: Code %d: want a ClickHouse error code such as 252", f.Kind, f.Code)
		}
	case Repeat:
		if f.Copies < 1 {
			return fmt.Errorf("arm fault %s: Copies %d: want at least 1", f.Kind, f.Copies)
		}
	default:
		return fmt.Errorf("arm fault: Kind %q is none of this package's", f.Kind)
	}
	return nil
}

// hits says whether the fault is meant for a statement.
func (f Fault) hits(statement string) bool {
	if f.Statement != "" {
		return strings.Contains(statement, f.Statement)
	}
	return len(statement) >= len("INSERT") && strings.EqualFold(statement[:len("INSERT")], "INSERT")
}

// exceptions are ClickHouse's names of errors that an ingester meets.
var exceptions = map[int]string{
	159: "TIMEOUT_EXCEEDED",
	202: "TOO_MANY_SIMULTANEOUS_QUERIES",
	210: "NETWORK_ERROR",
	241: "MEMORY_LIMIT_EXCEEDED",
	242: "TABLE_IS_READ_ONLY",
	243: "NOT_ENOUGH_SPACE",
	252: "TOO_MANY_PARTS",
	999: "KEEPER_EXCEPTION",
}

// writeException answers as a ClickHouse server does that refuses a statement.
func writeException(w http.ResponseWriter, code int) {
	name, ok := exceptions[code]
	if !ok {
		name = "UNKNOWN_EXCEPTION"
	}
	w.Header().Set(exceptionHeader, fmt.Sprint(code))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, "Code: %d. DB::Exception: planted by the fault suite. (%s)\n", code, name)
}

// exceptionHeader is where ClickHouse says which exception an answer is.
const exceptionHeader = "X-ClickHouse-Exception-Code"
