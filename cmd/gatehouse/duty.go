package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"gatehouse/store"
)

// duty is the right to detect, or to tell. One process has it: two detectors
// would each see half of the calls, and two alerters tell every incident twice.
//
// It is a sign of life in a table, not a lock: it keeps a second process from
// being started by mistake, and no two that begin in the same moment.
type duty struct {
	table  *store.Table[dutyRow]
	role   string
	holder string
	log    *slog.Logger
}

// dutyRow is a row of audit.duties.
type dutyRow struct {
	Role     string    `ch:"role"`
	Holder   string    `ch:"holder"`
	Released bool      `ch:"released"`
	At       time.Time `ch:"at"`
}

const (
	dutyEvery = 10 * time.Second // between signs of life
	dutyLapse = 30 * time.Second // without one, the holder is gone
)

// newDuty names this process by its host and the address of its metrics, which no
// other process of the host has: a restart is the same holder.
func newDuty(a *app, role string) (*duty, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this process: %w", err)
	}
	return &duty{
		table: store.NewTable[dutyRow](a.db, "duties", nil), role: role, holder: host + " " + a.cfg.Listen,
		log: a.log.With("component", "duty"),
	}, nil
}

// take takes the duty, or says who has it and what to do.
func (d *duty) take(ctx context.Context) error {
	rows, err := d.table.All(ctx, "role = ? AND holder != ? AND at > ? ORDER BY at", d.role, d.holder, time.Now().Add(-dutyLapse))
	if err != nil {
		return err
	}
	others := map[string]dutyRow{}
	for _, r := range rows {
		others[r.Holder] = r
	}
	for _, r := range others {
		if !r.Released {
			return fmt.Errorf("another process does the work of role %s: %s, seen %s ago: run this one with --role ingest, or stop that one (if it was killed, wait %s)",
				d.role, r.Holder, time.Since(r.At).Round(time.Second), dutyLapse)
		}
	}
	return d.sign(ctx, false)
}

func (d *duty) sign(ctx context.Context, released bool) error {
	return d.table.Append(ctx, dutyRow{d.role, d.holder, released, time.Now().UTC()})
}

// run gives signs of life until ctx ends.
func (d *duty) run(ctx context.Context) error {
	tick := time.NewTicker(dutyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.sign(ctx, false); err != nil && ctx.Err() == nil {
				d.log.WarnContext(ctx, "sign of life not stored", "role", d.role, "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// release lets another process take the duty at once.
func (d *duty) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), dutyEvery)
	defer cancel()
	return d.sign(ctx, true)
}
