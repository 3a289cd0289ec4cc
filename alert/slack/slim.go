package slack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// slim is a transport that keeps of channel histories only what a look needs.
// Channels hold messages of other apps, and slack-go refuses a whole page for
// one block that it cannot read.
type slim struct{ http.RoundTripper }

// maxHistory bounds one page of history, in bytes.
const maxHistory = 32 << 20

// RoundTrip implements http.RoundTripper.
func (s slim) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	if !strings.HasSuffix(r.URL.Path, "/conversations.history") && !strings.HasSuffix(r.URL.Path, "/conversations.replies") {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHistory))
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if body, err = slimHistory(body); err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// slimHistory drops all members of messages but ts and metadata.
func slimHistory(body []byte) ([]byte, error) {
	var page map[string]json.RawMessage
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if page["messages"] == nil {
		return body, nil
	}
	var messages []struct {
		TS       string          `json:"ts"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
	}
	if err := json.Unmarshal(page["messages"], &messages); err != nil {
		return nil, fmt.Errorf("read messages of history: %w", err)
	}
	var err error
	if page["messages"], err = json.Marshal(messages); err != nil {
		return nil, fmt.Errorf("write messages of history: %w", err)
	}
	return json.Marshal(page)
}
