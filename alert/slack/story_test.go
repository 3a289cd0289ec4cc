package slack_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/alert"
	"gatehouse/alert/slack/slackfake"
	"gatehouse/rules"
)

func TestAFindingBecomesAMessage(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		w.expect([]string{"OPEN · HIGH · One credential", "credential key-7", "API2:2023", "1999-12-31 23:56:00Z → 2000-01-01 00:00:00Z"})
		replies := w.replies()
		if len(replies) != 1 || !strings.Contains(text(replies[0]), "SELECT * FROM audit.events WHERE credential = 'key-7'") {
			w.t.Errorf("replies %v: want the evidence with its SQL", replies)
		}
		if replies[0].Broadcast {
			w.t.Error("the evidence was shown in the channel too")
		}
	})
}

// More findings of one episode count in its message; they post nothing.
func TestMoreFindingsEditTheMessage(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.append(m, finding(0, "key-7")) // the same again: a redelivery
		w.settle(m)
		w.expect([]string{"40 until the rule fired, in 1 finding", "networks 2"})
		for n := range 20 {
			w.append(m, finding(n, "key-7"), finding(n, "key-7"))
		}
		w.settle(m)
		w.expect([]string{"800 until the rule fired, in 20 findings", "networks 21"})
		if n := len(w.fake.Messages()); n != 2 {
			w.t.Errorf("%d messages, want root and evidence", n)
		}
	})
}

// Edits that only refresh counters wait, so that they do not eat the limit.
func TestCountersAreRefreshedSeldom(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		for n := range 60 { // one finding each second
			w.append(m, finding(n, "key-7"))
			<-time.After(time.Second)
		}
		edits := w.roots()[0].Edits
		if edits < 3 || edits > 4 {
			w.t.Errorf("%d edits in a minute, want one every %s", edits, 15*time.Second)
		}
	})
}

// Slack is away for ten minutes: nothing is lost, nothing comes twice.
func TestAnOutageLosesNothing(t *testing.T) {
	story(t, slackfake.Config{Burst: 10}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.fake.Outage(true)
		for n := range 30 {
			w.append(m, finding(n, fmt.Sprintf("key-%02d", n)))
			<-time.After(20 * time.Second)
		}
		tries := len(w.fake.Calls())
		if tries > 60 {
			w.t.Errorf("%d calls in ten minutes of outage: want backing off", tries)
		}
		w.fake.Outage(false)
		w.settle(m)
		if roots, replies := len(w.roots()), len(w.replies()); roots != 30 || replies != 30 {
			w.t.Errorf("%d roots and %d replies, want 30 each", roots, replies)
		}
		for _, c := range w.fake.Calls() {
			if c.Status == http.StatusTooManyRequests {
				w.t.Errorf("Slack had to limit us after the outage: %+v", c)
			}
		}
	})
}

// Slack says when it wants to be called again, and is not called before.
func TestRetryAfterIsHonoured(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		w.fake.Fail("chat.postMessage", slackfake.Fault{Status: http.StatusTooManyRequests, RetryAfter: 37 * time.Second})
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		calls := w.fake.Calls()
		if wait := calls[1].At.Sub(calls[0].At); wait < 37*time.Second || wait > 40*time.Second {
			w.t.Errorf("called again after %s, want 37 s", wait)
		}
		w.expect([]string{"key-7"})
	})
}

// When the answer is lost, the message is looked for and taken as our own.
func TestALostAnswerIsLookedUp(t *testing.T) {
	for name, f := range map[string]slackfake.Fault{
		"connection dropped": {Done: true}, "500": {Done: true, Status: 500}, "limited": {Done: true, Status: 429, RetryAfter: time.Second},
		"error that tells nothing": {Done: true, Code: "fatal_error"},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, slackfake.Config{HistoryLag: time.Second}, func(w *world) {
				w.fake.Fail("chat.postMessage", f, f) // for the root, and for its evidence
				m, stop := w.start()
				defer stop()
				w.append(m, finding(0, "key-7"))
				w.settle(m)
				w.expect([]string{"key-7"})
				if n := len(w.replies()); n != 1 {
					w.t.Errorf("%d replies, want 1", n)
				}
				statuses := map[string]int{}
				for _, d := range w.deliveries.all() {
					statuses[d.Status]++
				}
				if statuses[alert.StatusAdopted] == 0 || statuses[alert.StatusUnknown] == 0 {
					w.t.Errorf("delivery rows %v: want unknown outcomes and adopted messages", statuses)
				}
			})
		})
	}
}

// A channel with more messages than one page of history is read to its end.
func TestTheLookBackReadsAllPages(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		w.fake.Fail("chat.postMessage", slackfake.Fault{Done: true})
		w.fake.Fail("conversations.history", slackfake.Fault{Status: 502})
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		synctest.Wait()
		for range 450 { // others talk meanwhile
			w.fake.Say(slackfake.DefaultChannel, "hello")
		}
		w.settle(m)
		if got := len(w.roots()); got != 451 {
			w.t.Errorf("%d messages in the channel, want 450 of others and 1 of ours", got)
		}
	})
}

// Without the scope to look, a message is posted again and says so.
func TestWithoutHistoryScopeARepeatSaysSo(t *testing.T) {
	story(t, slackfake.Config{Scopes: []string{"chat:write"}}, func(w *world) {
		w.fake.Fail("chat.postMessage", slackfake.Fault{Done: true})
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		w.expect([]string{"key-7"}, []string{"key-7", "possible repeat"})
	})
}

// Quiet resolves an incident and edits its message; a finding soon after reopens
// it and tells the channel; one much later opens the next episode.
func TestTheLifeOfAnIncident(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		advance := func(minutes int) {
			w.t.Helper()
			if err := m.Advance(w.t.Context(), epoch.Add(time.Duration(minutes)*time.Minute).UnixMicro()); err != nil {
				w.t.Fatal(err)
			}
			w.settle(m)
		}
		w.append(m, finding(0, "key-7"))
		advance(60)
		w.expect([]string{"OPEN"})
		advance(61)
		w.expect([]string{"RESOLVED quiet"})
		w.append(m, finding(300, "key-7"))
		w.settle(m)
		w.expect([]string{"REOPENED", "80 until the rule fired, in 2 findings"})
		last := w.replies()[len(w.replies())-1]
		if !last.Broadcast || !strings.Contains(text(last), "REOPENED") {
			w.t.Errorf("last reply %q, broadcast %v: want the channel to be told", text(last), last.Broadcast)
		}
		id := m.Incidents()[0].ID
		w.append(m, finding(300+60+24*60+1, "key-7"))
		w.settle(m)
		w.expect([]string{"RESOLVED quiet"}, []string{"OPEN", "episode 2, previous " + id})
	})
}

// People acknowledge and resolve; doing it twice changes nothing.
func TestPeopleAct(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		id := m.Incidents()[0].ID
		act := func(a alert.Action) {
			w.t.Helper()
			a.Actor, a.Source, a.At = "Ana", alert.SourceConsole, time.Now()
			if err := m.Act(w.t.Context(), id, a); err != nil {
				w.t.Fatal(err)
			}
		}
		act(alert.Action{Kind: alert.KindAcked})
		act(alert.Action{Kind: alert.KindAcked})
		w.settle(m)
		w.expect([]string{"ACK by Ana"})
		act(alert.Action{Kind: alert.KindResolved, Disposition: alert.FalsePositive, Note: "load test"})
		act(alert.Action{Kind: alert.KindAcked})
		w.settle(m)
		w.expect([]string{"RESOLVED false positive", "load test"})
		if n := len(w.incidents.all()); n != 3 {
			w.t.Errorf("%d rows in the log, want opened, acked, resolved", n)
		}
		if err := m.Act(w.t.Context(), id, alert.Action{Kind: alert.KindResolved, Disposition: "whatever"}); err == nil {
			w.t.Error("a disposition that does not exist was taken")
		}
	})
}

// A root that somebody deleted is continued by a new one.
func TestADeletedRootIsContinued(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		w.fake.Delete(slackfake.DefaultChannel, w.roots()[0].TS)
		w.append(m, finding(1, "key-7"))
		w.settle(m)
		w.expect([]string{"80 until the rule fired, in 2 findings", "continues an earlier message"})
		stop()
		m, stop = w.start() // and after a restart nothing is posted again
		defer stop()
		w.append(m, finding(2, "key-7"))
		w.settle(m)
		w.expect([]string{"120 until the rule fired, in 3 findings"})
	})
}

// The same when it is deleted while it is not known whether a reply arrived.
func TestARootDeletedInDoubtIsContinued(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.append(m, finding(0, "key-7"))
		w.settle(m)
		if err := m.Advance(w.t.Context(), epoch.Add(2*time.Hour).UnixMicro()); err != nil {
			w.t.Fatal(err)
		}
		w.settle(m)
		w.fake.Fail("chat.postMessage", slackfake.Fault{Done: true})
		w.fake.Fail("conversations.replies", slackfake.Fault{Status: 500})
		w.append(m, finding(150, "key-7")) // reopens it; whether the reply arrived is not known
		synctest.Wait()
		w.fake.Delete(slackfake.DefaultChannel, w.roots()[0].TS)
		w.settle(m)
		root := w.roots()[0]
		if !strings.Contains(text(root), "continues an earlier message") {
			w.t.Errorf("root:\n%s", text(root))
		}
		if last := w.replies()[len(w.replies())-1]; last.Thread != root.TS || !strings.Contains(text(last), "REOPENED") {
			w.t.Errorf("the last reply is not in the new thread: %+v", last)
		}
	})
}

// A message that Slack finds too rich is sent plainer and plainer, down to text.
func TestTheLadder(t *testing.T) {
	for refusals, want := range []struct {
		blocks bool
		shows  []string
	}{
		{true, []string{"OPEN · HIGH", "was used from", "credential key-7", "Do first", "rule token-reuse"}},
		{true, []string{"OPEN · HIGH", "was used from", "credential key-7", "Do first", "rule token-reuse"}},
		{true, []string{"OPEN · HIGH", "was used from", "rule token-reuse"}},
		{false, []string{"OPEN · HIGH", "was used from", "credential key-7", "Do first", "rule token-reuse"}},
	} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			story(t, slackfake.Config{}, func(w *world) {
				for range refusals {
					w.fake.Fail("chat.postMessage", slackfake.Fault{Code: "invalid_blocks"})
				}
				m, stop := w.start()
				defer stop()
				w.append(m, finding(0, "key-7"))
				w.settle(m)
				w.expect(want.shows)
				if root := w.roots()[0]; (root.Blocks != nil) != want.blocks || root.Markdown {
					w.t.Errorf("blocks %s, markdown %v", root.Blocks, root.Markdown)
				}
				w.append(m, finding(1, "key-7")) // an edit stays as plain
				w.settle(m)
				if root := w.roots()[0]; (root.Blocks != nil) != want.blocks || root.Edits != 1 {
					w.t.Errorf("after an edit: blocks %s, %d edits", root.Blocks, root.Edits)
				}
			})
		})
	}
}

// A wrong token is said to be wrong and is nowhere to be read.
func TestAWrongTokenIsNotShown(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		const secret = "xoxb-1234-this-is-the-secret"
		w.token = secret
		var log syncBuffer
		w.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		m, stop := w.start()
		w.append(m, finding(0, "key-7"))
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
		defer cancel()
		if err := m.Drain(ctx); err == nil {
			w.t.Error("drained although nothing can be delivered")
		}
		stop()
		all := log.String() + fmt.Sprintf("%+v", w.deliveries.all())
		if strings.Contains(all, "1234") || strings.Contains(all, "secret") {
			w.t.Errorf("the token is in:\n%s", all)
		}
		if !strings.Contains(all, "invalid_auth: the token is wrong") {
			w.t.Errorf("nobody is told what is wrong:\n%s", all)
		}
		w.token = slackfake.DefaultToken // it is mended
		m, stop = w.start()
		defer stop()
		w.settle(m)
		w.expect([]string{"key-7"})
	})
}

// A channel that refuses everything does not hold up another.
func TestChannelsAreIndependent(t *testing.T) {
	channels := []slackfake.Channel{{ID: slackfake.DefaultChannel, Name: "alerts"}, {ID: "C0000OTHER", Name: "other", NotMember: true}}
	story(t, slackfake.Config{Channels: channels}, func(w *world) {
		w.routes = []alert.Route{{MinSeverity: rules.High, Channel: "C0000OTHER"}}
		m, stop := w.start()
		defer stop()
		low := finding(1, "key-8")
		low.Severity = rules.Low
		w.append(m, finding(0, "key-7"), low)
		<-time.After(time.Minute)
		w.expect([]string{"LOW", "key-8"})
	})
}

// Worse incidents go first when many wait.
func TestTheWorstGoesFirst(t *testing.T) {
	story(t, slackfake.Config{}, func(w *world) {
		m, stop := w.start()
		defer stop()
		w.fake.Outage(true)
		for n := range 40 {
			f := finding(n, fmt.Sprintf("key-%02d", n))
			f.Severity = rules.Low
			w.append(m, f)
		}
		f := finding(99, "crown-jewels")
		f.Severity = rules.Critical
		w.append(m, f)
		w.fake.Outage(false)
		w.settle(m)
		for n, r := range w.roots() {
			if strings.Contains(text(r), "crown-jewels") {
				if n > 1 { // one was on its way before
					w.t.Errorf("the critical incident was message %d", n+1)
				}
				return
			}
		}
		w.t.Error("the critical incident was not posted")
	})
}
