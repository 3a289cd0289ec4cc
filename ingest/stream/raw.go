package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer bounds the answer to a raw request.
const maxAnswer = maxFetchBytes + 64<<20

// rawConn is one connection on which requests are framed by kmsg instead of
// kafka-go: for what kafka-go's message versions cannot say (topic ids,
// DeleteRecords), and for fetching, where it is the slow part. One request at a time.
type rawConn struct {
	conn   net.Conn
	format *kmsg.RequestFormatter
	id     int32
	// release undoes closeWith.
	release func() bool
}

// dialRaw connects to one broker: TCP, then TLS and SASL as configured.
func (l *link) dialRaw(ctx context.Context, addr string) (*rawConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := l.dialSecure(ctx, addr)
	if err != nil {
		return nil, err
	}
	r := &rawConn{conn: conn, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(l.cfg.ClientID))}
	if l.sasl != nil {
		if err := r.authenticate(ctx, l.sasl, addr); err != nil {
			return nil, errors.Join(&ConnectError{Addr: addr, Stage: StageSASL, Err: err}, conn.Close())
		}
	}
	return r, nil
}

// ask sends one request and reads its answer into the response of its kind.
func (r *rawConn) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(requestTimeout)
	}
	if err := r.conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("send kafka request: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r.id++
	if _, err := r.conn.Write(r.format.AppendRequest(nil, req, r.id)); err != nil {
		return nil, fmt.Errorf("send kafka request: %w", err)
	}
	body, err := r.readAnswer(req.ResponseKind().IsFlexible())
	if err != nil {
		return nil, fmt.Errorf("read kafka answer: %w", err)
	}
	res := req.ResponseKind()
	if err := res.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("read kafka answer of kind %d: %w: %w", req.Key(), errAnswer, err)
	}
	return res, nil
}

// readAnswer returns what follows the response header.
func (r *rawConn) readAnswer(flexible bool) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxAnswer {
		return nil, fmt.Errorf("answer of %d bytes: want at most %d: not a kafka broker, or TLS is missing", n, maxAnswer)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r.conn, body); err != nil {
		return nil, err
	}
	return cutHeader(body, r.id, flexible)
}

var errAnswer = errors.New("malformed answer")

// cutHeader checks the correlation id and skips the tagged fields that a
// flexible header carries.
func cutHeader(body []byte, id int32, flexible bool) ([]byte, error) {
	if len(body) < 4 || int32(binary.BigEndian.Uint32(body)) != id {
		return nil, errAnswer
	}
	body = body[4:]
	if !flexible {
		return body, nil
	}
	tags, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, errAnswer
	}
	body = body[n:]
	for ; tags > 0; tags-- {
		_, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errAnswer
		}
		size, m := binary.Uvarint(body[n:])
		if m <= 0 || size > uint64(len(body)-n-m) {
			return nil, errAnswer
		}
		body = body[n+m+int(size):]
	}
	return body, nil
}

// authenticate runs a SASL exchange before the first request.
func (r *rawConn) authenticate(ctx context.Context, mechanism sasl.Mechanism, addr string) error {
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.SetVersion(1)
	hello.Mechanism = mechanism.Name()
	res, err := r.ask(ctx, hello)
	if err != nil {
		return err
	}
	if shake := res.(*kmsg.SASLHandshakeResponse); shake.ErrorCode != 0 {
		return fmt.Errorf("mechanism %s: %w: this listener offers %v", mechanism.Name(), kafka.Error(shake.ErrorCode), shake.SupportedMechanisms)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	machine, state, err := mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	for done := false; err == nil && !done; {
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.SetVersion(1)
		auth.SASLAuthBytes = state
		if res, err = r.ask(ctx, auth); err != nil {
			break
		}
		answer := res.(*kmsg.SASLAuthenticateResponse)
		if answer.ErrorCode != 0 {
			return kafka.Error(answer.ErrorCode)
		}
		done, state, err = machine.Next(ctx, answer.SASLAuthBytes)
	}
	return err
}

func (r *rawConn) close() error {
	if r.release != nil {
		r.release()
	}
	return r.conn.Close()
}

// closeWith closes the connection when ctx ends, whoever is using it then.
func (r *rawConn) closeWith(ctx context.Context) {
	r.release = context.AfterFunc(ctx, func() { _ = r.conn.Close() })
}
