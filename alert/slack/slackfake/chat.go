package slackfake

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits that Slack documents, or that were observed.
const (
	maxText       = 40_000
	maxMetadata   = 8_000
	maxBlockChars = 13_200 // sum over a message's blocks
)

// writable is the channel, if the app may post to it.
func (s *Server) writable(p params) (*Channel, error) {
	c, ok := s.channels[p.text("channel")]
	switch {
	case !ok, c.Private && c.NotMember:
		return nil, refuse("channel_not_found")
	case c.NotMember:
		return nil, refuse("not_in_channel")
	case c.Archived:
		return nil, refuse("is_archived")
	}
	return c, nil
}

func (s *Server) postMessage(p params) (reply, error) {
	c, err := s.writable(p)
	if err != nil {
		return nil, err
	}
	m, err := readContent(p)
	if err != nil {
		return nil, err
	}
	if err := s.limit(c.ID); err != nil {
		return nil, err
	}
	m.Channel, m.TS, m.Posted = c.ID, s.nextTS(), s.cfg.Now()
	// A reply to a message that was deleted appears in the channel.
	if root := s.find(c.ID, p.text("thread_ts")); root != nil {
		m.Thread, m.Broadcast = root.TS, p.flag("reply_broadcast")
	}
	s.messages = append(s.messages, m)
	return reply{"channel": c.ID, "ts": m.TS, "message": wire(m, false)}, nil
}

func (s *Server) update(p params) (reply, error) {
	c, err := s.writable(p)
	if err != nil {
		return nil, err
	}
	old := s.find(c.ID, p.text("ts"))
	if old == nil {
		return nil, refuse("message_not_found")
	}
	m, err := readContent(p)
	if err != nil {
		return nil, err
	}
	old.Text, old.Markdown, old.Blocks = m.Text, m.Markdown, m.Blocks
	if m.Metadata != nil {
		old.Metadata = m.Metadata
	}
	old.Edits++
	return reply{"channel": c.ID, "ts": old.TS, "text": old.Text}, nil
}

// readContent reads and checks what a message says.
func readContent(p params) (*Message, error) {
	m := &Message{Text: p.text("text"), Markdown: p.text("mrkdwn") == "" || p.flag("mrkdwn"), Blocks: p.object("blocks"), Metadata: p.object("metadata")}
	if m.Text == "" && m.Blocks == nil {
		return nil, refuse("no_text")
	}
	if utf8.RuneCountInString(m.Text) > maxText {
		return nil, refuse("msg_too_long")
	}
	if m.Blocks != nil {
		total, problems := checkBlocks(m.Blocks)
		switch {
		case len(problems) > 0:
			return nil, &failure{code: "invalid_blocks", messages: problems}
		case total > maxBlockChars:
			return nil, refuse("msg_blocks_too_long")
		}
	}
	if m.Metadata != nil {
		return m, checkMetadata(m.Metadata)
	}
	return m, nil
}

func checkMetadata(raw json.RawMessage) error {
	var md struct {
		EventType    string         `json:"event_type"`
		EventPayload map[string]any `json:"event_payload"`
	}
	switch {
	case len(raw) > maxMetadata:
		return refuse("metadata_too_large")
	case json.Unmarshal(raw, &md) != nil:
		return refuse("invalid_metadata_format")
	case md.EventType == "" || md.EventPayload == nil:
		return refuse("invalid_metadata_schema")
	}
	return nil
}

// limit is the rate limit of one channel: a bucket that leaks one a second.
func (s *Server) limit(channel string) error {
	if s.cfg.Burst == 0 {
		return nil
	}
	now, full := s.cfg.Now(), s.buckets[channel]
	if full.Before(now) {
		full = now
	}
	if wait := full.Add(time.Second).Sub(now.Add(time.Duration(s.cfg.Burst) * time.Second)); wait > 0 {
		return &failure{code: "ratelimited", retryAfter: int((wait + time.Second - 1) / time.Second)}
	}
	s.buckets[channel] = full.Add(time.Second)
	return nil
}

// nextTS is the time as Slack writes it, different for every message.
func (s *Server) nextTS() string {
	s.lastTS = max(s.lastTS+1, s.cfg.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

func (s *Server) find(channel, ts string) *Message {
	for _, m := range s.messages {
		if m.Channel == channel && m.TS == ts && ts != "" {
			return m
		}
	}
	return nil
}
