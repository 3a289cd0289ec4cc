package slack_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/alert"
	"gatehouse/alert/slack"
	"gatehouse/alert/slack/slackfake"
	"gatehouse/detect"
)

// life is how many steps a process takes before it is killed: a step is the
// beginning or the end of an append to a journal or of a call to Slack. So it
// dies before an intent, after it, before or after the HTTP write, before an
// outcome, after it. 0 = it lives.
type life struct {
	mu   sync.Mutex
	left int
	dead bool
	kill context.CancelFunc
}

var errKilled = errors.New("the process was killed")

// ends takes one step and says whether the process is dead.
func (l *life) ends() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left == 0 {
		l.dead = true
		l.kill()
	}
	return l.dead
}

func (l *life) around(effect func() error) error {
	if l.ends() {
		return errKilled
	}
	err := effect()
	if l.ends() {
		return errKilled
	}
	return err
}

// mortal is a journal as one process sees it.
type mortal[T any] struct {
	life  *life
	table *journal[T]
}

func (m mortal[T]) Append(ctx context.Context, rows ...T) error {
	return m.life.around(func() error { return m.table.Append(ctx, rows...) })
}

// wireTo is the network as one process sees it.
type wireTo struct {
	life *life
	next http.RoundTripper
}

func (w wireTo) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	err = w.life.around(func() (err error) { resp, err = w.next.RoundTrip(r); return err })
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// process is one run of the program: it appends the findings that the run before
// it did not get acknowledged, and delivers, until it is killed or all is done.
func (w *world) process(l *life, findings []detect.Finding, done *int) error {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	l.kill = cancel
	token, _ := slack.NewToken(w.token)
	client, err := slack.New(slack.Config{Token: token, Transport: wireTo{l, w.fake.Transport()}})
	if err != nil {
		return err
	}
	m, err := alert.New(alert.Config{
		Incidents: mortal[alert.IncidentEvent]{l, w.incidents}, Deliveries: mortal[alert.Delivery]{l, w.deliveries},
		Notifier: client, Channel: slackfake.DefaultChannel, Jitter: w.jitter,
	})
	if err != nil {
		return err
	}
	if err := m.Restore(w.incidents.all(), w.deliveries.all()); err != nil {
		return err
	}
	stopped := make(chan struct{})
	go func() { m.Run(ctx); close(stopped) }()
	defer func() { cancel(); <-stopped }()
	for *done < len(findings) {
		if err := m.Append(ctx, findings[*done]); err != nil {
			return err
		}
		*done++
		<-time.After(500 * time.Millisecond)
	}
	return m.Drain(ctx)
}

// slackTroubles are the ways in which Slack leaves a caller in doubt, or not.
var slackTroubles = []slackfake.Fault{
	{Done: true}, {Done: false},
	{Done: true, Status: 500}, {Status: 503},
	{Done: true, Status: 429, RetryAfter: 3 * time.Second}, {Status: 429, RetryAfter: 3 * time.Second},
	{Done: true, Code: "fatal_error"}, {Code: "internal_error"},
}

// Wherever the process is killed and whatever Slack does, each incident ends as
// exactly one root message that shows its final state, with exactly one evidence
// reply.
func TestKilledAnywhereNothingIsLostAndNothingIsPostedTwice(t *testing.T) {
	const runs = 400
	adopted := 0
	for seed := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, slackfake.Config{Burst: 30, HistoryLag: time.Duration(rng.IntN(2)) * time.Second})
			w.jitter = rng.Float64
			var findings []detect.Finding
			for n := range 6 {
				findings = append(findings, finding(n, fmt.Sprintf("key-%d", rng.IntN(3))))
			}
			for range rng.IntN(4) {
				w.fake.Fail("chat.postMessage", slackTroubles[rng.IntN(len(slackTroubles))])
			}
			done, lives := 0, 0
			for w.process(&life{left: 1 + rng.IntN(25)}, findings, &done) != nil {
				if lives++; lives > 4 {
					break
				}
				<-time.After(time.Duration(rng.IntN(5)) * time.Second)
			}
			if err := w.process(&life{}, findings, &done); err != nil {
				t.Fatalf("seed %d: the last process: %v", seed, err)
			}
			w.checkExactlyOnce(seed)
			for _, d := range w.deliveries.all() {
				if d.Status == alert.StatusAdopted {
					adopted++
				}
			}
		})
	}
	if adopted < runs/10 {
		t.Errorf("only %d messages were adopted in %d runs: the doubt that this test is about did not arise", adopted, runs)
	}
}

// checkExactlyOnce compares the channel with the incidents.
func (w *world) checkExactlyOnce(seed uint64) {
	w.t.Helper()
	incidents, err := alert.Replay(w.incidents.all())
	if err != nil {
		w.t.Fatal(err)
	}
	roots, replies := map[string]int{}, map[string]int{}
	for _, m := range w.fake.Messages() {
		text := strings.Join(m.Lines(), "\n")
		for _, i := range incidents {
			switch {
			case m.Thread == "" && strings.Contains(text, i.ID):
				roots[i.ID]++
				if want := fmt.Sprintf("%d until the rule fired, in %d finding", i.Events, i.Findings); !strings.Contains(text, want) {
					w.t.Errorf("seed %d: root of %s does not show %q:\n%s", seed, i.ID, want, text)
				}
			case m.Thread != "" && strings.Contains(string(m.Metadata), i.ID):
				replies[i.ID]++
			}
		}
	}
	for _, i := range incidents {
		if roots[i.ID] != 1 || replies[i.ID] != 1 {
			w.t.Errorf("seed %d: incident %s has %d roots and %d replies, want one each", seed, i.ID, roots[i.ID], replies[i.ID])
		}
	}
	if len(incidents) == 0 {
		w.t.Errorf("seed %d: no incidents", seed)
	}
}
