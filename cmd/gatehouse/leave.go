package main

import (
	"context"
	"fmt"

	"gatehouse/ingest/stream"
)

// leaveCmd takes a member out of the consumer group.
type leaveCmd struct {
	Config   string `help:"Configuration file." short:"c" type:"existingfile" required:""`
	Instance string `help:"Member to take out; default kafka.instance_id of the configuration." placeholder:"ID"`
}

// Help is printed below the flags.
func (leaveCmd) Help() string {
	return `A member with kafka.instance_id keeps its partitions when it stops: it is expected
back. When it is not to come back, stop it and take it out of the group; the others
then have its partitions at once, and not after kafka.session_timeout.

Examples:
  gatehouse leave -c gatehouse.yaml
  gatehouse leave -c gatehouse.yaml --instance ingest-3`
}

// Run is the command.
func (c *leaveCmd) Run(ctx context.Context, con *console) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	conf := cfg.Kafka.stream()
	if c.Instance != "" {
		conf.InstanceID = c.Instance
	}
	if conf.InstanceID == "" {
		return usageError{fmt.Errorf("no member to take out: set kafka.instance_id in %s or give --instance; a member without one leaves by itself when it stops", c.Config)}
	}
	consumer, err := stream.NewConsumer(conf)
	if err != nil {
		return err
	}
	if err := consumer.Leave(ctx); err != nil {
		return fmt.Errorf("take %s out of group %s: %w", conf.InstanceID, conf.Group, err)
	}
	con.printf("%s has left group %s\n", safeText(conf.InstanceID), safeText(conf.Group))
	return nil
}
