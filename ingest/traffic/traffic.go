// Package traffic makes labelled synthetic API calls: the everyday mix of a
// shop with a wallet, and attacks played into it. The demo, the tests and the
// benchmarks run on it.
//
// A [Scenario] is a function of its [Config] alone: the same seed gives the same
// calls, on any machine and in any year. Each actor draws from its own stream of
// random numbers, so an attack that is added or left out changes no benign call.
//
// The calls carry secrets on purpose (bearer tokens, API keys, session cookies,
// e-mail addresses, card numbers, passwords in queries), all of them invented:
// [Secrets] lists those of one call, so that a test can search for them wherever
// they must not be. Addresses are from ranges that are reserved for
// documentation, benchmarks and carrier NAT.
package traffic

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"gatehouse/ingest/event"
)

// The attack families: values of Call.Attack and Attack.Name.
const (
	TokenReuse        = "token_reuse"        // a stolen token, used beside its owner
	ObjectEnumeration = "object_enumeration" // one principal walks account ids of others
	VolumeSpike       = "volume_spike"       // one partner calls many times more than ever
	EndpointProbing   = "endpoint_probing"   // a scanner asks for admin and backup paths
)

// Families lists the attack families, sorted.
func Families() []string {
	return []string{EndpointProbing, ObjectEnumeration, TokenReuse, VolumeSpike}
}

// Call is one call and what it is. Attack is "" for benign calls; calls that a
// victim makes during an attack are benign.
type Call struct {
	Raw    event.Raw
	Attack string
}

// Attack is one attack to play.
type Attack struct {
	Name string        // one of Families
	At   time.Duration // when it begins, from Config.Start
	For  time.Duration // how long it lasts; 0 = the family's usual length, 3 to 6 minutes
}

// Defaults and limits of Config.
const (
	DefaultDuration = time.Hour
	DefaultRate     = 20.0
	MaxRate         = 1e6
	MinUsers        = 16
	MaxUsers        = 1 << 20

	defaultUsers  = 400
	usersPerEvent = 8 // more users for more events per second, so that each stays a person
)

// Config describes a scenario. The zero value is an hour of benign traffic at 20
// events/s that begins at the Unix epoch.
type Config struct {
	Seed     uint64
	Start    time.Time     // event time of the beginning; zero = the Unix epoch
	Duration time.Duration // 0 = DefaultDuration
	Rate     float64       // benign events per second on average; 0 = DefaultRate
	Users    int           // people; 0 = 400, or 8 per event/s where that is more
	Attacks  []Attack      // nil = benign only; OneOfEach is the usual choice
	Gateway  string        // gateway of every call; "" = a fleet, see Fleet
}

// OneOfEach is one attack of every family, spread over the second half of a
// scenario of the given duration, so that baselines have a first half to learn.
func OneOfEach(duration time.Duration) []Attack {
	names := []string{TokenReuse, ObjectEnumeration, EndpointProbing, VolumeSpike}
	attacks := make([]Attack, len(names))
	for i, name := range names {
		attacks[i] = Attack{Name: name, At: duration * time.Duration(52+11*i) / 100}
	}
	return attacks
}

// Check says what is wrong with the configuration, naming the field and what is
// expected.
func (c Config) Check() error {
	var errs []error
	if c.Duration < 0 {
		errs = append(errs, fmt.Errorf("traffic: Duration %v: want 0 or more", c.Duration))
	}
	if c.Rate < 0 || c.Rate > MaxRate {
		errs = append(errs, fmt.Errorf("traffic: Rate %g: want 0 to %g events/s", c.Rate, float64(MaxRate)))
	}
	if c.Users != 0 && (c.Users < MinUsers || c.Users > MaxUsers) {
		errs = append(errs, fmt.Errorf("traffic: Users %d: want 0 for the default, or %d to %d", c.Users, MinUsers, MaxUsers))
	}
	if c.Gateway != "" && !slices.Contains(Gateways(), c.Gateway) {
		errs = append(errs, fmt.Errorf("traffic: Gateway %q: want one of %v", c.Gateway, Gateways()))
	}
	for i, a := range c.Attacks {
		if !slices.Contains(Families(), a.Name) {
			errs = append(errs, fmt.Errorf("traffic: Attacks[%d].Name %q: want one of %v", i, a.Name, Families()))
		}
		if a.At < 0 || a.For < 0 {
			errs = append(errs, fmt.Errorf("traffic: Attacks[%d]: want At and For of 0 or more", i))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Start.IsZero() {
		c.Start = time.Unix(0, 0)
	}
	if c.Duration == 0 {
		c.Duration = DefaultDuration
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Users == 0 {
		c.Users = min(max(defaultUsers, int(c.Rate*usersPerEvent)), MaxUsers)
	}
	return c
}

// Scenario yields the calls in order of event time, from Start to Start +
// Duration. It can be ranged over again, with the same result. Slices inside a
// Raw are shared and must not be changed.
//
// It panics if cfg.Check is not nil: check what people type before.
func Scenario(cfg Config) iter.Seq[Call] {
	if err := cfg.Check(); err != nil {
		panic(err)
	}
	cfg = cfg.withDefaults()
	return func(yield func(Call) bool) {
		w := newWorld(cfg)
		w.populate()
		for i, a := range cfg.Attacks {
			w.stage(i, a)
		}
		w.run(yield)
	}
}
