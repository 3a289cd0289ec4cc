package kafka

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// DefaultNodes is the size of a cluster that can lose a node.
const DefaultNodes = 3

// ClusterOptions says what cluster to run.
type ClusterOptions struct {
	// Dir holds a directory per node. Required.
	Dir string
	// Nodes is how many brokers, each also a controller. Default DefaultNodes.
	Nodes int
	// Properties are added to every node's server.properties and override what is
	// there.
	Properties map[string]string
}

// Cluster is several brokers of one cluster. Topics are on all of them unless
// made otherwise, and take writes while a majority lives.
type Cluster struct{ nodes []*Broker }

// StartCluster starts the nodes of a new cluster side by side and returns when
// each answers and knows all the others.
func StartCluster(ctx context.Context, opts ClusterOptions) (*Cluster, error) {
	if opts.Nodes == 0 {
		opts.Nodes = DefaultNodes
	}
	nodes, err := prepare(ctx, Options{Dir: opts.Dir, Properties: opts.Properties}, opts.Nodes)
	if err != nil {
		return nil, err
	}
	c := &Cluster{nodes: nodes}
	var starts errgroup.Group
	for _, b := range nodes {
		b.opts.Dir = filepath.Join(opts.Dir, fmt.Sprintf("node-%d", b.member.node))
		starts.Go(func() error { return b.begin(ctx) })
	}
	if err := starts.Wait(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.awaitAll(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Nodes are the brokers, to be killed and restarted one by one.
func (c *Cluster) Nodes() []*Broker { return c.nodes }

// Addrs are the plaintext listeners of all nodes.
func (c *Cluster) Addrs() []string {
	out := make([]string, len(c.nodes))
	for i, b := range c.nodes {
		out[i] = b.Addr()
	}
	return out
}

// Node is the broker with this plaintext address, or nil.
func (c *Cluster) Node(addr string) *Broker {
	for _, b := range c.nodes {
		if b.Addr() == addr {
			return b
		}
	}
	return nil
}

// Heal restarts the nodes that were killed or stopped and waits until every node
// knows every other.
func (c *Cluster) Heal(ctx context.Context) error {
	var starts errgroup.Group
	for _, b := range c.nodes {
		if !b.running() {
			starts.Go(func() error { return b.Restart(ctx) })
		}
	}
	if err := starts.Wait(); err != nil {
		return err
	}
	return c.awaitAll(ctx)
}

func (c *Cluster) awaitAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	all := make([]int, len(c.nodes))
	for i, b := range c.nodes {
		all[i] = b.ports.plain
	}
	for _, b := range c.nodes {
		if err := b.await(ctx, all...); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all nodes that run, side by side.
func (c *Cluster) Stop() error {
	var stops errgroup.Group
	for _, b := range c.nodes {
		if b.process != nil {
			stops.Go(b.Stop)
		}
	}
	return stops.Wait()
}
