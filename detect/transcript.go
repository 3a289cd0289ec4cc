package detect

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/rules"
)

// RunTranscript plays the commands of a rule's transcript through an engine
// with just that rule, and returns the transcript with what the engine found in
// place of what it says. They are equal when the rule does what its transcript
// says. An error names the line of a command that cannot be read.
//
// A transcript is blocks: commands, a line "----", what was found, an empty
// line. rules/README.md describes the commands.
func RunTranscript(rule *rules.Rule, text string) (string, error) {
	t := transcript{rule: rule}
	t.reset()
	var out strings.Builder
	found := false // within the expected output of a block
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		command := strings.TrimSpace(line)
		switch {
		case command == "----":
			out.WriteString(line + "\n")
			t.print(&out)
			found = true
			continue
		case found && command == "":
			found = false
		case found:
			continue
		case command == "" || command[0] == '#':
		default:
			if err := t.run(command); err != nil {
				return "", fmt.Errorf("transcript of %s, line %d: %w", rule.ID, i+1, err)
			}
		}
		out.WriteString(line + "\n")
	}
	return out.String(), nil
}

// transcriptStart is the time at which every transcript begins: a Monday.
const transcriptStart = 1_767_571_200 * second // 2026-01-05 00:00:00 UTC

// transcript is the state of a run.
type transcript struct {
	rule   *rules.Rule
	engine *Engine
	now    int64 // µs, time of the next event
	offset int64
	base   map[string]string // values that set gave
	found  []Finding
}

func (t *transcript) reset() {
	t.engine = NewEngine(EngineConfig{Rules: rules.Only(t.rule)})
	t.now, t.offset, t.base = transcriptStart, 0, map[string]string{}
}

func (t *transcript) run(command string) error {
	words, err := split(command)
	if err != nil {
		return err
	}
	switch verb, args := words[0], words[1:]; verb {
	case "event":
		return t.events(1, args)
	case "repeat":
		if len(args) == 0 {
			return fmt.Errorf("repeat: want repeat N field=value …")
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > maxRepeat {
			return fmt.Errorf("repeat %s: want a number from 1 to %d", args[0], maxRepeat)
		}
		return t.events(n, args[1:])
	case "advance":
		return t.advance(args)
	case "set":
		return t.set(args)
	case "reset":
		t.reset()
		return nil
	default:
		return fmt.Errorf("command %q: want event, repeat, advance, set or reset", verb)
	}
}

const maxRepeat = 100_000

func (t *transcript) advance(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("advance: want one duration, such as advance 5m")
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return fmt.Errorf("advance %q: want a duration, such as 5m", args[0])
	}
	t.now += d.Microseconds()
	return nil
}

func (t *transcript) set(args []string) error {
	for _, arg := range args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("set %q: want field=value", arg)
		}
		t.base[k] = v
	}
	return nil
}

func (t *transcript) events(n int, args []string) error {
	fields := map[string]string{}
	for k, v := range t.base {
		fields[k] = v
	}
	for _, arg := range args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q: want field=value", arg)
		}
		fields[k] = v
	}
	every, at, err := pace(fields)
	if err != nil {
		return err
	}
	for i := range n {
		ev := event.Event{
			Kind: event.KindAccess, TS: t.now + at, TSSrc: event.TimeStart, Gateway: "transcript", Method: "GET", Status: 200,
			ReqBytes: event.Absent, RespBytes: event.Absent, LatencyUS: event.Absent, UpstreamLatencyUS: event.Absent,
			Origin: event.Origin{Topic: "transcript", Offset: t.offset},
		}
		for k, v := range fields {
			if err := assign(&ev, k, expand(v, i)); err != nil {
				return err
			}
		}
		ev.Complete()
		t.found = append(t.found, t.engine.Observe(&ev)...)
		t.offset++
		if at == 0 {
			t.now += every
		}
	}
	return nil
}

// pace takes every=1s, the time to the next event, and at=-30s, an event apart
// from the clock, out of the fields.
func pace(fields map[string]string) (every, at int64, err error) {
	every = second
	for key, v := range map[string]*int64{"every": &every, "at": &at} {
		text, ok := fields[key]
		if !ok {
			continue
		}
		delete(fields, key)
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, 0, fmt.Errorf("%s=%s: want a duration, such as 1s", key, text)
		}
		*v = d.Microseconds()
	}
	return every, at, nil
}

// placeholder is what a transcript's values can hold; other braces, such as
// those of a route, stay as they are.
var placeholder = regexp.MustCompile(`\{(?:n(?:\+(\d{1,9}))?|r)\}`)

// expand fills in the value of the i-th repetition: a|b|c takes turns, {n}
// counts from 1, {n+100} from 101, {r} is a scattered number below a million.
func expand(v string, i int) string {
	if strings.Contains(v, "|") {
		turns := strings.Split(v, "|")
		v = turns[i%len(turns)]
	}
	return placeholder.ReplaceAllStringFunc(v, func(p string) string {
		if p == "{r}" {
			return strconv.FormatUint(rules.Hash(uint64(i), "transcript")%1_000_000, 10)
		}
		add, _ := strconv.Atoi(placeholder.FindStringSubmatch(p)[1])
		return strconv.Itoa(add + i + 1)
	})
}

// assign sets one field of a transcript's event.
func assign(ev *event.Event, name, v string) error {
	if p, ok := texts(ev)[name]; ok {
		*p = v
		return nil
	}
	switch name {
	case "kind":
		ev.Kind = event.Kind(v)
	case "outcome":
		ev.Outcome = event.Outcome(v)
	case "auth_type":
		ev.AuthType = event.AuthType(v)
	case "object":
		ev.Objects = []event.Object{{Name: "id", Ref: v}}
	case "client_ip":
		ip, err := netip.ParseAddr(v)
		if err != nil {
			return fmt.Errorf("client_ip=%s: want an address", v)
		}
		ev.ClientIP = ip
	default:
		return assignNumber(ev, name, v)
	}
	return nil
}

func texts(ev *event.Event) map[string]*string {
	return map[string]*string{
		"tenant": &ev.Tenant, "method": &ev.Method, "host": &ev.Host, "path": &ev.Path, "query": &ev.Query,
		"route": &ev.Route, "service": &ev.Service, "client_host": &ev.ClientHost, "client_country": &ev.ClientCountry,
		"user_agent": &ev.UserAgent, "ua_family": &ev.UAFamily, "principal": &ev.Principal, "client_id": &ev.ClientID,
		"credential_id": &ev.CredentialID, "token_fp": &ev.TokenFP, "session_fp": &ev.SessionFP,
		"token_alg": &ev.TokenAlg, "token_exp_state": &ev.TokenExpState,
	}
}

func assignNumber(ev *event.Event, name, v string) error {
	n, err := strconv.ParseInt(v, 10, 64)
	switch name {
	case "status":
		ev.Status = int(n)
	case "client_asn":
		ev.ClientASN = uint32(n)
	case "partition":
		ev.Origin.Partition = int32(n)
	case "req_bytes":
		ev.ReqBytes = n
	case "resp_bytes":
		ev.RespBytes = n
	case "latency_us":
		ev.LatencyUS = n
	default:
		names := []string{
			"kind", "outcome", "auth_type", "object", "client_ip", "status", "client_asn", "partition", "req_bytes",
			"resp_bytes", "latency_us", "every", "at",
		}
		for k := range texts(ev) {
			names = append(names, k)
		}
		slices.Sort(names)
		return fmt.Errorf("unknown field %q: want one of %s", name, strings.Join(names, ", "))
	}
	if err != nil {
		return fmt.Errorf("%s=%s: want a number", name, v)
	}
	return nil
}

// split cuts a command into words; double quotes keep spaces together.
func split(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted := false
	for _, r := range command {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote without its partner")
	}
	return append(words, word.String()), nil
}

// print writes what was found since the last time, or "quiet".
func (t *transcript) print(out *strings.Builder) {
	if s := t.engine.Stats(); s.Late > 0 {
		fmt.Fprintf(out, "late %d\n", s.Late)
	}
	if len(t.found) == 0 {
		out.WriteString("quiet\n")
	}
	for _, f := range t.found {
		fmt.Fprintf(out, "+%s %s %s", time.Duration(f.At-transcriptStart)*time.Microsecond, f.Severity, f.Rule)
		for _, e := range f.Entity {
			if e.Value != "" {
				fmt.Fprintf(out, " %s=%s", e.Name, e.Value)
			}
		}
		fmt.Fprintf(out, " after %d events\n  %s\n", f.Events, f.Reason)
	}
	t.found = nil
}
