package slack

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"
)

// RequiredScopes are the scopes of a bot token, with what each is for.
func RequiredScopes() map[string]string {
	return map[string]string{
		"chat:write":            "post and edit messages",
		"channels:history":      "look for a message whose answer was lost, in public channels",
		"groups:history":        "the same in private channels",
		"channels:read":         "check the channel, public",
		"groups:read":           "check the channel, private",
		"metadata.message:read": "find a message by its delivery id",
	}
}

// Report is what [Client.Check] found out.
type Report struct {
	Team, User string   // where the token belongs
	Scopes     []string // as granted, sorted; nil when Slack did not say
	Missing    []string // of RequiredScopes
	Channels   []ChannelReport
}

// ChannelReport is one channel, as the token sees it.
type ChannelReport struct {
	ID, Name string
	Problem  string // "" when messages can be posted
}

// OK says that messages can be posted and looked for in every channel.
func (r *Report) OK() bool {
	return len(r.Missing) == 0 && !slices.ContainsFunc(r.Channels, func(c ChannelReport) bool { return c.Problem != "" })
}

// Check asks Slack whether the token works, which scopes it has and whether it
// reaches the channels. The error is for a token that does not work or a Slack
// that does not answer; everything else is in the Report.
func (c *Client) Check(ctx context.Context, channels ...string) (*Report, error) {
	who, err := c.api.AuthTestContext(ctx)
	if err != nil {
		return nil, c.sendError("check token", err)
	}
	r := &Report{Team: who.Team, User: who.User}
	if granted := who.Header.Get("X-OAuth-Scopes"); granted != "" {
		for s := range strings.SplitSeq(granted, ",") {
			r.Scopes = append(r.Scopes, strings.TrimSpace(s))
		}
		slices.Sort(r.Scopes)
		for s := range RequiredScopes() {
			if !slices.Contains(r.Scopes, s) {
				r.Missing = append(r.Missing, s)
			}
		}
		slices.Sort(r.Missing)
	}
	for _, id := range channels {
		r.Channels = append(r.Channels, c.checkChannel(ctx, id))
	}
	return r, nil
}

func (c *Client) checkChannel(ctx context.Context, id string) ChannelReport {
	info, err := c.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
	out := ChannelReport{ID: id}
	switch {
	case err != nil:
		out.Problem = c.clean("look at channel", err).Error()
	case info.IsArchived:
		out.Name, out.Problem = info.Name, advice["is_archived"]
	case !info.IsMember:
		out.Name, out.Problem = info.Name, advice["not_in_channel"]
	default:
		out.Name = info.Name
	}
	return out
}

// Host is the host of the API, for messages to people.
func (c *Client) Host() string {
	u, err := url.Parse(c.url)
	if err != nil {
		return fmt.Sprintf("%q", c.url)
	}
	return u.Host
}
