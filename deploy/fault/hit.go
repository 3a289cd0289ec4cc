package fault

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// hit does to a request what the armed fault says.
func (p *Proxy) hit(w http.ResponseWriter, req *request, a *Armed) {
	answer := make(chan Answer, 1)
	h := Hit{
		Statement: req.statement, Token: req.from.URL.Query().Get("insert_deduplication_token"), Bytes: len(req.body),
		Answer: answer, answer: answer,
	}
	switch a.fault.Kind {
	case LoseAnswer, CutAnswer:
		p.spoilAnswer(w, req, a, h)
		return
	case HoldAnswer:
		p.holdAnswer(w, req, a, h)
		return
	}
	a.tell(h)
	switch a.fault.Kind {
	case Delay:
		if wait(req.from.Context(), a, a.fault.Delay) {
			answer <- p.pass(w, req.from.Context(), req)
		}
	case Refuse:
		reset(w)
	case Fail:
		writeException(w, a.fault.Code)
	case CutRequest:
		p.cutRequest(w, req)
	case HoldRequest:
		select {
		case <-a.released:
			answer <- p.pass(w, p.ctx, req)
		case <-p.ctx.Done():
			reset(w)
		}
	case Repeat:
		p.repeat(w, req, a.fault.Copies, answer)
	}
}

// wait waits for a time, or less when the fault is released. It says whether the
// client is still there.
func wait(ctx context.Context, a *Armed, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.released:
	case <-ctx.Done():
		return false
	}
	return true
}

// cutRequest sends half of a body that was announced whole.
func (p *Proxy) cutRequest(w http.ResponseWriter, req *request) {
	half := io.MultiReader(bytes.NewReader(req.body[:len(req.body)/2]), broken{})
	if res, err := p.ask(p.ctx, req, half); err == nil {
		res.Body.Close()
	}
	reset(w)
}

// broken is a body that breaks off.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// spoilAnswer has the server do its work and keeps its answer from the client, or
// the end of it.
func (p *Proxy) spoilAnswer(w http.ResponseWriter, req *request, a *Armed, h Hit) {
	res, err := p.ask(p.ctx, req, bytes.NewReader(req.body))
	if err != nil {
		h.answer <- Answer{Err: err}
		a.tell(h)
		reset(w)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body) // to its end: then the work is done
	res.Body.Close()
	h.answer <- answerOf(res)
	a.tell(h)
	if a.fault.Kind == LoseAnswer {
		reset(w)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = conn.Write(dump(res))
	_ = conn.Close()
}

// holdAnswer tells when the server has the request, and keeps the answer.
func (p *Proxy) holdAnswer(w http.ResponseWriter, req *request, a *Armed, h Hit) {
	body := &watched{Reader: bytes.NewReader(req.body), read: func() { a.tell(h) }}
	res, err := p.ask(p.ctx, req, body)
	if err != nil {
		h.answer <- Answer{Err: err}
		reset(w)
		return
	}
	defer res.Body.Close()
	h.answer <- answerOf(res)
	select {
	case <-a.released:
		give(w, res)
	case <-p.ctx.Done():
		reset(w)
	}
}

// watched is a body that tells when it has been read to its end.
type watched struct {
	io.Reader
	read func()
	told bool
}

// Read implements io.Reader.
func (b *watched) Read(to []byte) (int, error) {
	n, err := b.Reader.Read(to)
	if err != nil && !b.told {
		b.told = true
		b.read()
	}
	return n, err
}

// repeat passes a request on several times. The client gets the last answer, or
// the first that is not a success.
func (p *Proxy) repeat(w http.ResponseWriter, req *request, copies int, answer chan<- Answer) {
	for range copies - 1 {
		res, err := p.ask(p.ctx, req, bytes.NewReader(req.body))
		if err != nil {
			answer <- Answer{Err: err}
			reset(w)
			return
		}
		if res.StatusCode != http.StatusOK {
			give(w, res)
			res.Body.Close()
			answer <- answerOf(res)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	answer <- p.pass(w, p.ctx, req)
}
