package slackfake

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// Page sizes of histories.
const (
	defaultPage = 100
	maxPage     = 999
)

// readable is the channel, if the app may read it.
func (s *Server) readable(p params) (*Channel, error) {
	c, ok := s.channels[p.text("channel")]
	switch {
	case !ok, c.Private && c.NotMember:
		return nil, refuse("channel_not_found")
	case c.NotMember:
		return nil, refuse("not_in_channel")
	}
	return c, nil
}

// history lists root messages and broadcast replies, newest first.
func (s *Server) history(p params) (reply, error) {
	c, err := s.readable(p)
	if err != nil {
		return nil, err
	}
	listed := s.visible(c.ID, p, func(m *Message) bool { return m.Thread == "" || m.Broadcast })
	slices.Reverse(listed)
	return s.paged(listed, p)
}

// replies lists a thread, its root included, oldest first.
func (s *Server) replies(p params) (reply, error) {
	c, err := s.readable(p)
	if err != nil {
		return nil, err
	}
	root := s.find(c.ID, p.text("ts"))
	if root == nil {
		return nil, refuse("thread_not_found")
	}
	return s.paged(s.visible(c.ID, p, func(m *Message) bool { return m == root || m.Thread == root.TS }), p)
}

// visible filters by channel, by time, and by whether histories show it yet.
func (s *Server) visible(channel string, p params, keep func(*Message) bool) []*Message {
	oldest, latest, inclusive := p.text("oldest"), p.text("latest"), p.flag("inclusive")
	var out []*Message
	for _, m := range s.messages {
		edge := inclusive && (m.TS == oldest || m.TS == latest)
		inside := (oldest == "" || compareTS(m.TS, oldest) > 0) && (latest == "" || compareTS(m.TS, latest) < 0)
		if m.Channel == channel && keep(m) && (inside || edge) && !m.Posted.Add(s.cfg.HistoryLag).After(s.cfg.Now()) {
			out = append(out, m)
		}
	}
	return out
}

// compareTS compares timestamps by value: their whole parts may differ in
// length.
func compareTS(a, b string) int {
	aw, af, _ := strings.Cut(a, ".")
	bw, bf, _ := strings.Cut(b, ".")
	if len(aw) != len(bw) {
		return len(aw) - len(bw)
	}
	return strings.Compare(aw+"."+af, bw+"."+bf)
}

// paged is one page of messages. A cursor names the last message of the page
// before it.
func (s *Server) paged(listed []*Message, p params) (reply, error) {
	if cursor := p.text("cursor"); cursor != "" {
		ts, err := base64.StdEncoding.DecodeString(cursor)
		at := slices.IndexFunc(listed, func(m *Message) bool { return m.TS == string(ts) })
		if err != nil || at < 0 {
			return nil, refuse("invalid_cursor")
		}
		listed = listed[at+1:]
	}
	limit := p.number("limit", defaultPage)
	if limit < 1 || limit > maxPage {
		return nil, refuse("invalid_limit")
	}
	next := ""
	if len(listed) > limit {
		listed = listed[:limit]
		next = base64.StdEncoding.EncodeToString([]byte(listed[limit-1].TS))
	}
	metadata := p.flag("include_all_metadata") && slices.Contains(s.cfg.Scopes, "metadata.message:read")
	messages := []json.RawMessage{}
	for _, m := range listed {
		messages = append(messages, wire(m, metadata))
	}
	return reply{"messages": messages, "has_more": next != "", "response_metadata": reply{"next_cursor": next}}, nil
}

func (s *Server) info(p params) (reply, error) {
	c, ok := s.channels[p.text("channel")]
	if !ok || c.Private && c.NotMember {
		return nil, refuse("channel_not_found")
	}
	return reply{"channel": reply{
		"id": c.ID, "name": c.Name, "is_channel": true, "is_private": c.Private, "is_archived": c.Archived, "is_member": !c.NotMember,
	}}, nil
}

// wire is a message as the API shows it.
func wire(m *Message, metadata bool) json.RawMessage {
	out := reply{"type": "message", "ts": m.TS, "text": m.Text, "bot_id": "B0000FAKE", "user": "U0000FAKE"}
	if m.Blocks != nil {
		out["blocks"] = m.Blocks
	}
	if m.Thread != "" {
		out["thread_ts"] = m.Thread
	}
	if m.Broadcast {
		out["subtype"] = "thread_broadcast"
	}
	if metadata && m.Metadata != nil {
		out["metadata"] = m.Metadata
	}
	b, _ := json.Marshal(out) // strings, and JSON that was checked
	return b
}
