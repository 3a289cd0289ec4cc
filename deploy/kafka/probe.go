package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	probeTimeout = 2 * time.Second
	maxAnswer    = 1 << 20
)

// probe asks a broker for the cluster's metadata and says whether it is ready:
// it must know a controller and, among the brokers, the ports.
func probe(ctx context.Context, addr string, ports ...int) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(8) // the last one with a plain response header
	req.Topics = []kmsg.MetadataRequestTopic{}
	res := kmsg.NewPtrMetadataResponse()
	res.SetVersion(req.GetVersion())
	if err := exchange(conn, req, res); err != nil {
		return err
	}
	if res.ControllerID < 0 {
		return errors.New("no controller yet")
	}
	for _, port := range ports {
		if !slices.ContainsFunc(res.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.Port == int32(port) }) {
			return fmt.Errorf("broker at port %d is not registered yet", port)
		}
	}
	return nil
}

// exchange sends one request and reads its answer.
func exchange(conn io.ReadWriter, req kmsg.Request, res kmsg.Response) error {
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		return err
	}
	var head [8]byte // size and correlation id
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxAnswer {
		return fmt.Errorf("answer of %d bytes", size)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	return res.ReadFrom(body)
}
