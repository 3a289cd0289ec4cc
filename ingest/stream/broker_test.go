package stream

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	real "gatehouse/deploy/kafka"
)

// A broker that is killed and comes back costs a pause, no record and no commit.
func TestSurvivesBrokerKill(t *testing.T) {
	b := requireBroker(t)
	k := newCluster(t, b.Addr()).withTopic(2)
	s := newSeen()
	k.write(0, 0, 100)
	k.write(1, 0, 100)
	r := k.consume(k.cfg, s.reader("a"))
	s.await(t, "the first records", func() bool { return s.total() == 200 })
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.write(0, 100, 100)
	k.write(1, 100, 100)
	s.await(t, "the records behind the kill", func() bool { return s.total() >= 400 })
	until(t, "everything to be committed", func() bool {
		d, err := k.admin.Describe(t.Context())
		return err == nil && d.Topics[0].Err == nil && d.Topics[0].Partitions[0].Lag == 0 && d.Topics[0].Partitions[1].Lag == 0
	})
	r.stop()
}

// secure is a Config for the listener with TLS and SASL.
func secure(t *testing.T, b *real.Broker, mechanism, secret string) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{
		Brokers: []string{b.SecureAddr()}, TLS: TLS{Enabled: true, CAFile: b.CAFile()},
		SASL: SASL{Mechanism: mechanism, User: user, PasswordFile: file},
	}
}

// Every way to be let in: the whole path works, on raw and on kafka-go's
// connections.
func TestSecureListeners(t *testing.T) {
	b := requireBroker(t)
	mutual := Config{Brokers: []string{b.MutualAddr()}, TLS: TLS{Enabled: true, CAFile: b.CAFile()}}
	mutual.TLS.CertFile, mutual.TLS.KeyFile = b.ClientFiles()
	for name, cfg := range map[string]Config{
		"plain":     secure(t, b, Plain, password),
		"scram-256": secure(t, b, ScramSHA256, password),
		"scram-512": secure(t, b, ScramSHA512, password),
		"mutual":    mutual,
	} {
		t.Run(name, func(t *testing.T) {
			k := newCluster(t, cfg.Brokers[0])
			k.cfg.TLS, k.cfg.SASL = cfg.TLS, cfg.SASL
			var err error
			if k.admin, err = NewAdmin(k.cfg); err != nil {
				t.Fatal(err)
			}
			if k.out, err = NewProducer(k.cfg); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { k.admin.Close(); k.out.Close() })
			k.withTopic(1).write(0, 0, 10)
			k.onPartition(func(ctx context.Context, p *Partition) error {
				_, next, err := p.Next(ctx)
				if err != nil {
					return err
				}
				return p.Commit(ctx, next, "")
			})
		})
	}
}

// Every way to be refused: the error names the stage and what to change, and never
// the password.
func TestSecureRefusals(t *testing.T) {
	b := requireBroker(t)
	other := newCluster(t, b.Addr())
	good := secure(t, b, ScramSHA512, password)
	with := func(change func(*Config)) Config {
		cfg := good
		change(&cfg)
		return cfg
	}
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"wrong password":        {secure(t, b, ScramSHA512, "hunter2-wrong"), []string{"sasl", "SASL Authentication Failed", "kafka.sasl.user"}},
		"wrong password, plain": {secure(t, b, Plain, "hunter2-wrong"), []string{"sasl", "refused this user and password"}},
		"unknown authority":     {with(func(c *Config) { c.TLS.CAFile = "" }), []string{"tls", "unknown authority", "kafka.tls.ca_file"}},
		"wrong name":            {with(func(c *Config) { c.TLS.ServerName = "kafka.example" }), []string{"tls", "kafka.tls.server_name"}},
		"no client certificate": {
			Config{Brokers: []string{b.MutualAddr()}, TLS: TLS{Enabled: true, CAFile: b.CAFile()}}, []string{"kafka.tls.cert_file"},
		},
		"no TLS":                  {with(func(c *Config) { c.TLS = TLS{} }), []string{"kafka.tls"}},
		"no SASL":                 {with(func(c *Config) { c.SASL = SASL{} }), []string{"SASL"}},
		"TLS to a plain listener": {with(func(c *Config) { c.Brokers = []string{b.Addr()} }), []string{"kafka.tls"}},
		"nobody there": {
			Config{Brokers: []string{"127.0.0.1:1", "127.0.0.1:2"}}, []string{"127.0.0.1:1: dial", "127.0.0.1:2: dial", "connection refused", "kafka.brokers"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.cfg
			cfg.Topics, cfg.Group = other.cfg.Topics, "g"
			consumer, err := NewConsumer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = consumer.Run(ctx, nil)
			if err == nil {
				t.Fatal("was let in")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), password) {
				t.Errorf("error shows the password: %v", err)
			}
			t.Log(err)
		})
	}
}
