package slack_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/alert"
	"gatehouse/alert/slack"
	"gatehouse/alert/slack/slackfake"
	"gatehouse/detect"
)

// unevenly delays the first of several requests, as a new connection does.
type unevenly struct {
	http.RoundTripper
	n int
}

func (u *unevenly) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.n++; u.n%5 == 1 {
		<-time.After(700 * time.Millisecond)
	}
	return u.RoundTripper.RoundTrip(r)
}

// A channel that takes exactly the burst that we send is never overrun, however
// unevenly the requests travel.
func TestTheChannelIsNeverOverrun(t *testing.T) {
	story(t, slackfake.Config{Burst: 5}, func(w *world) {
		w.transport = &unevenly{RoundTripper: w.fake.Transport()}
		m, stop := w.start()
		defer stop()
		for n := range 40 {
			w.append(m, finding(n, fmt.Sprintf("key-%02d", n)))
		}
		w.settle(m)
		if n := len(w.roots()); n != 40 {
			w.t.Errorf("%d roots, want 40", n)
		}
		for _, c := range w.fake.Calls() {
			if c.Status == http.StatusTooManyRequests {
				w.t.Fatalf("overrun: %+v", c)
			}
		}
	})
}

// The whole path over a real network, with the clock of the machine.
func TestOverTheNetwork(t *testing.T) {
	fake := slackfake.New(slackfake.Config{Burst: 5})
	server := httptest.NewServer(fake)
	defer server.Close()
	token, err := slack.NewToken(slackfake.DefaultToken)
	if err != nil {
		t.Fatal(err)
	}
	client, err := slack.New(slack.Config{Token: token, APIURL: server.URL + "/api/"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := alert.New(alert.Config{
		Incidents: &journal[alert.IncidentEvent]{}, Deliveries: &journal[alert.Delivery]{}, Notifier: client, Channel: slackfake.DefaultChannel,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	if err := m.Append(ctx, []detect.Finding{finding(0, "a"), finding(0, "b")}...); err != nil {
		t.Fatal(err)
	}
	if err := m.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(fake.Messages()); n != 4 {
		t.Errorf("%d messages, want two roots with evidence", n)
	}
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || len(page) < 1000 {
		t.Errorf("page of %d bytes, %v", len(page), err)
	}
}
