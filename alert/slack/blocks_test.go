package slack

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"gatehouse/alert"
	"gatehouse/alert/slack/slackfake"
	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/rules"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// sent is what Slack would get for a message.
func sent(t testing.TB, p alert.Post) map[string]any {
	t.Helper()
	_, values, err := slack.UnsafeApplyMsgOptions("xoxb-0", "C0", "https://slack.example/api/", content(&p)...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for name := range values {
		if name != "token" {
			out[name] = values.Get(name)
		}
	}
	if b := blocks(&p.Message, p.Level); len(b) > 0 {
		out["blocks"] = b
	}
	return out
}

// hostile are values that an attacker would like to see interpreted, or that
// would hide what they are.
var hostile = []string{
	"<!channel>", "<!here|now>", "<@U0123456789>", "<#C0123456789>", "<http://evil.example|Runbook>", "<!subteam^S01>",
	"`code` *bold* _it_ ~no~", "```\nfence", "\u202eevil\u2066\u200b", "&lt;!channel&gt;", "a\x00b\x1b[31mc\r\nd", ":rotating_light: @channel",
	"\xff\xfe", "\u2028line", strings.Repeat("A", 10_000), strings.Repeat("<!channel>", 1_000), "",
}

// incidentWith is an incident whose every value from events is v.
func incidentWith(v string) alert.Incident {
	f := detect.Finding{
		ID: "f1", Rule: "token-reuse", RuleTitle: "Token reuse", Severity: rules.High, OWASP: []string{"API2:2023"}, Attack: []string{"T1528"},
		Tenant: v, Entity: []detect.Field{{Name: "tenant", Value: v}, {Name: "credential", Value: v}}, Reason: "why: " + v,
		First: 1_767_225_600_000_000, Last: 1_767_225_840_000_000, At: 1_767_225_840_000_000, Events: 214,
		Evidence: []event.Origin{{Topic: v, Offset: 1}}, Measures: []detect.Measure{{Name: "networks", Value: 7}}, SQL: "SELECT " + detect.Quote(v),
	}
	return alert.Incident{
		ID: "INC-0123456789", Key: "k", Episode: 2, Previous: "INC-ABCDEFGHJK", State: alert.StateAcked, StateBy: v, Note: v, Seq: 3,
		Findings: 2, Events: 214, First: f.First, Last: f.Last, Measures: f.Measures, Opening: f, Latest: f,
	}
}

func runbook() *rules.Runbook {
	return &rules.Runbook{
		ID: "token-reuse", Owner: "security on call",
		FirstSteps: []string{"Look at the callers of {{credential}}.", "Ask its owner about a deploy.", "Revoke it if it writes."},
		Queries:    []rules.RunbookQuery{{ID: "callers", Label: "Who used it", SQL: "SELECT client_net, count()\nFROM audit.events\nWHERE credential = {{credential}} AND ts BETWEEN {{from}} AND {{to}}\nGROUP BY client_net"}},
	}
}

// messagesWith are all kinds of messages about an incident full of v.
func messagesWith(v string) []alert.Message {
	view := alert.View{Incident: incidentWith(v), Runbook: runbook(), ConsoleURL: "https://console.example", Samples: &alert.Table{Caption: v, Columns: []string{"time", v, "path"}}}
	for range 30 {
		view.Samples.Rows = append(view.Samples.Rows, []string{v, "x", v})
	}
	out := []alert.Message{view.Root(), view.Evidence(), view.Reopened()}
	if m, ok := view.RunbookQueries(); ok {
		out = append(out, m)
	}
	return out
}

// Every mrkdwn text that Slack gets is one of these: a bold name, or times.
var (
	boldName = regexp.MustCompile(`^\*[A-Za-z&; →]+\*$`)
	dates    = regexp.MustCompile(`^<!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|[-0-9: ]+Z>( → <!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|[-0-9: ]+Z>)?$`)
)

// checkInert fails when anything in the payload could be interpreted, or passes
// a budget.
func checkInert(t *testing.T, p alert.Post) {
	t.Helper()
	out := sent(t, p)
	if s := out["text"].(string); strings.ContainsAny(s, "<>`") || utf8.RuneCountInString(s) > 2*maxPlain || s == "" {
		t.Errorf("text %q", s)
	}
	if out["mrkdwn"] != "false" || out["unfurl_links"] != "false" {
		t.Errorf("mrkdwn %v, unfurl_links %v: want both off", out["mrkdwn"], out["unfurl_links"])
	}
	if out["parse"] != nil || out["link_names"] != nil {
		t.Error("parse or link_names is set: Slack would look for mentions")
	}
	raw, err := json.Marshal(blocks(&p.Message, p.Level))
	if err != nil {
		t.Fatal(err)
	}
	var tree []any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	if len(tree) > maxBlocks {
		t.Errorf("%d blocks", len(tree))
	}
	total := 0
	walk(tree, func(node map[string]any) { total += checkNode(t, node) })
	if total > maxChars {
		t.Errorf("%d characters", total)
	}
}

// checkNode returns the characters of text in a node.
func checkNode(t *testing.T, node map[string]any) int {
	t.Helper()
	s, ok := node["text"].(string)
	if caption, is := node["caption"].(string); is {
		s = caption
	} else if !ok {
		return 0
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return (r < ' ' && r != '\n') || r == 0x7f || r == '\u202e' || r == '\u2066' || r == '\u200b' || r == '\u2028'
	}) || !utf8.ValidString(s) {
		t.Errorf("text with characters that do not show: %q", s)
	}
	switch kind := node["type"]; kind {
	case "mrkdwn":
		if !boldName.MatchString(s) && !dates.MatchString(s) {
			t.Errorf("mrkdwn %q: want a constant or times", s)
		}
	case "plain_text":
		if node["emoji"] != false {
			t.Errorf("plain_text %q: want emoji off", s)
		}
	case "text", "raw_text", "data_table":
	default:
		t.Errorf("text in a node of type %v", kind)
	}
	return utf8.RuneCountInString(s)
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, visit)
		}
	case map[string]any:
		switch v["type"] {
		case "user", "usergroup", "broadcast", "channel", "link", "emoji":
			panic(fmt.Sprintf("a rich text element that notifies or links: %v", v))
		}
		visit(v)
		for _, e := range v {
			walk(e, visit)
		}
	}
}

func TestNothingFromEventsIsInterpreted(t *testing.T) {
	client, err := New(Config{Token: Token{slackfake.DefaultToken}, Transport: slackfake.New(slackfake.Config{}).Transport()})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range hostile {
		for _, m := range messagesWith(v) {
			for level := alert.LevelFull; level <= alert.LevelText; level++ {
				p := alert.Post{Channel: slackfake.DefaultChannel, DeliveryID: "d", Level: level, Message: m}
				checkInert(t, p)
				if _, err := client.Post(t.Context(), p); err != nil {
					t.Errorf("%s, level %s, %.40q: Slack refuses it: %v", m.Kind, level, v, err)
				}
			}
		}
	}
}

func FuzzNothingFromEventsIsInterpreted(f *testing.F) {
	for _, v := range hostile {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, m := range messagesWith(v) {
			for level := alert.LevelFull; level <= alert.LevelText; level++ {
				checkInert(t, alert.Post{DeliveryID: "d", Level: level, Message: m})
			}
		}
	})
}

// The checks above find what they look for.
func TestTheInertnessChecksBite(t *testing.T) {
	for name, s := range map[string]string{"mention": "*<!channel>*", "link": "<http://x|y>", "bold value": "*a*b", "forged date": "<!date^1^{date}|x>"} {
		if boldName.MatchString(s) || dates.MatchString(s) {
			t.Errorf("%s: %q passes for a constant", name, s)
		}
	}
}

// states are the incidents of the golden files.
func states() map[string]alert.Incident {
	out := map[string]alert.Incident{}
	for _, s := range []string{"open", "acked", "resolved-quiet", "resolved-false-positive", "reopened"} {
		i := incidentWith("key-7")
		i.State, i.StateBy, i.Note, i.Episode, i.Previous = alert.StateOpen, "detector", "", 1, ""
		switch s {
		case "acked":
			i.State, i.StateBy = alert.StateAcked, "Ana"
		case "resolved-quiet":
			i.State = alert.StateResolved
		case "resolved-false-positive":
			i.State, i.Disposition, i.Note = alert.StateResolved, alert.FalsePositive, "load test"
		case "reopened":
			i.Reopened = []uint32{4}
		}
		out[s] = i
	}
	return out
}

// The golden files show what Slack gets, per state and severity.
func TestGoldenMessages(t *testing.T) {
	for name, i := range states() {
		for _, severity := range rules.Severities() {
			i.Opening.Severity = severity
			view := alert.View{Incident: i, Runbook: runbook()}
			golden(t, fmt.Sprintf("root-%s-%s.json", name, severity), sent(t, alert.Post{DeliveryID: "d1", Message: view.Root()}))
		}
	}
	view := alert.View{Incident: states()["open"], Runbook: runbook(), ConsoleURL: "https://console.example", Samples: &alert.Table{
		Caption: "2 of 214 events", Columns: []string{"time", "call", "status"}, Rows: [][]string{{"00:00:01", "GET /orders/{id}", "200"}, {"00:00:02", "GET /orders/{id}", ""}},
	}}
	queries, _ := view.RunbookQueries()
	for name, m := range map[string]alert.Message{"console": view.Root(), "evidence": view.Evidence(), "runbook": queries, "reopened": view.Reopened()} {
		golden(t, name+".json", sent(t, alert.Post{DeliveryID: "d1", Message: m}))
	}
	for level := alert.LevelNoTable; level <= alert.LevelText; level++ {
		golden(t, "evidence-"+level.String()+".json", sent(t, alert.Post{DeliveryID: "d1", Level: level, Message: view.Evidence()}))
	}
}

func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// Times reach a reader in his own zone, with UTC for those that cannot.
func TestTimesHaveAFallback(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 7200))
	got := fieldValue(&alert.MessageField{Name: "At", Times: []time.Time{at}}).Text
	if want := "<!date^1767315845^{date_short_pretty} {time_secs}|2026-01-02 01:04:05Z>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
