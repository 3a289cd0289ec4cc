package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// chaosReport is what a run has to say.
type chaosReport struct {
	Broker  string  `json:"broker"`
	Seed    uint64  `json:"seed"`
	Kills   int     `json:"kills"`
	Faults  int     `json:"faults"`
	Seconds float64 `json:"seconds"`
	// Bound is the rule of three over the random kills of an ingester at work: with
	// 95 % confidence, no larger share of them loses or doubles anything. It is 0,
	// and left out, without such kills and where anything is wrong.
	Bound   float64      `json:"bound_per_kill,omitempty"`
	LeftOut []string     `json:"left_out,omitempty"` // phases that this machine cannot have, and why
	Phases  []chaosPhase `json:"phases"`
	*verdict
	Examples []string `json:"examples,omitempty"`
}

// chaosPhase is one line of the table.
type chaosPhase struct {
	Phase      string   `json:"phase"`
	Kills      int      `json:"kills"`
	Faults     int      `json:"faults"`
	Events     int      `json:"events"` // sent during it
	Lost       int      `json:"lost"`
	Duplicated int      `json:"duplicated"`
	Seconds    float64  `json:"seconds"`
	Notes      []string `json:"notes,omitempty"`
}

func (c *chaos) report(took time.Duration) *chaosReport {
	r := &chaosReport{Broker: c.cmd.Broker, Seed: c.cmd.Seed, Seconds: took.Seconds(), verdict: &verdict{}}
	for _, s := range c.stages() {
		if s.verdict != nil {
			r.add(s.verdict)
			r.addPhases(s)
		}
	}
	r.Examples = r.examples
	if n := c.killedAtWork(); n > 0 && r.ok() {
		r.Bound = min(1, 3/float64(n))
	}
	return r
}

// killedAtWork is how many of the random kills say something.
func (c *chaos) killedAtWork() (n int) {
	for _, p := range c.phases {
		n += p.atWork
	}
	return n
}

// err says what is wrong, or that nothing was tested.
func (r *chaosReport) err() error {
	switch {
	case !r.ok():
		return errors.New("the database is not what Kafka acknowledged")
	case r.Events == 0:
		return errors.New("nothing was tested: Kafka has acknowledged no event meanwhile: send more with --rate, or for longer")
	}
	return nil
}

func (r *chaosReport) addPhases(s *stage) {
	for i, p := range s.phases {
		if p.leftOut != "" {
			r.LeftOut = append(r.LeftOut, p.name+": "+p.leftOut)
		}
		end := s.load.sent()
		if i+1 < len(s.phases) {
			end = s.phases[i+1].first
		}
		r.Kills, r.Faults = r.Kills+p.kills, r.Faults+p.faults
		r.Phases = append(r.Phases, chaosPhase{
			Phase: p.name, Kills: p.kills, Faults: p.faults, Events: end - p.first,
			Lost: s.verdict.lost[i], Duplicated: s.verdict.duplicated[i], Seconds: p.took.Seconds(), Notes: p.allNotes(),
		})
	}
}

// print is the report for people.
func (r *chaosReport) print(con *console) {
	var rows [][]string
	for _, p := range r.Phases {
		rows = append(rows, []string{
			p.Phase, strconv.Itoa(p.Kills), strconv.Itoa(p.Faults), grouped(p.Events), strconv.Itoa(p.Lost), strconv.Itoa(p.Duplicated),
			fmt.Sprintf("%.1f s", p.Seconds),
		})
	}
	con.table([]string{"phase", "kills", "faults", "events", "lost", "duplicated", "took"}, []bool{false, true, true, true, true, true, true}, rows)
	con.printf("\n")
	for _, p := range r.Phases {
		for _, note := range p.Notes {
			con.printf("%s: %s\n", p.Phase, safeText(note))
		}
	}
	con.printf("\nchaos: %s kills and %s other faults, %d of %s events lost, %d duplicated", grouped(r.Kills), grouped(r.Faults), r.Lost, grouped(r.Events), r.Duplicated)
	if r.Bound > 0 {
		con.printf(" (95 %% bound %s per random kill)", percent(r.Bound))
	}
	if r.Unacked > 0 {
		con.printf(", %d stored whose acknowledgement was lost", r.Unacked)
	}
	if r.Refused > 0 {
		con.printf(", %d sent that Kafka never acknowledged", r.Refused)
	}
	con.printf(", %d with other content, %d foreign; %d of %d poisoned records unaccounted for; %s broker, seed %d, %.0f s\n",
		r.Differing, r.Foreign, r.Unaccounted, r.Poisoned, r.Broker, r.Seed, r.Seconds)
	for _, phase := range r.LeftOut {
		con.printf("left out: %s\n", safeText(phase))
	}
	for _, example := range r.Examples {
		con.printf("  %s\n", safeText(example))
	}
}

// grouped is a number with commas between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}

// percent has two digits, which is what a bound is worth.
func percent(share float64) string {
	if share >= 0.1 {
		return fmt.Sprintf("%.0f %%", share*100)
	}
	return fmt.Sprintf("%.2g %%", share*100)
}
