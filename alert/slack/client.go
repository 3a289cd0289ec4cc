package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/slack-go/slack"

	"gatehouse/alert"
)

// api is what this package uses of slack-go. Its methods never retry.
type api interface {
	PostMessageContext(ctx context.Context, channel string, options ...slack.MsgOption) (string, string, error)
	UpdateMessageContext(ctx context.Context, channel, ts string, options ...slack.MsgOption) (string, string, string, error)
	GetConversationHistoryContext(ctx context.Context, p *slack.GetConversationHistoryParameters) (*slack.GetConversationHistoryResponse, error)
	GetConversationRepliesContext(ctx context.Context, p *slack.GetConversationRepliesParameters) ([]slack.Message, bool, string, error)
	GetConversationInfoContext(ctx context.Context, p *slack.GetConversationInfoInput) (*slack.Channel, error)
	AuthTestContext(ctx context.Context) (*slack.AuthTestResponse, error)
}

// Client is an [alert.Notifier] and [alert.Finder] on Slack. It is safe for
// concurrent use.
type Client struct {
	api    api
	url    string
	secret string // removed from errors
}

// New makes a Client. It does not call Slack; [Client.Check] does.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	httpClient := &http.Client{
		Transport: slim{cfg.Transport}, Timeout: cfg.Timeout,
		// The API does not redirect; a token must not follow one elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{
		api: slack.New(cfg.Token.secret, slack.OptionAPIURL(cfg.APIURL), slack.OptionHTTPClient(httpClient)),
		url: cfg.APIURL, secret: cfg.Token.secret,
	}, nil
}

// metadataType names our metadata among that of other apps.
const metadataType = "gatehouse_delivery"

// deliveryKey is the member of the metadata that holds the delivery id. Metadata
// can be read by other apps in the channel, so it holds nothing else of value.
const deliveryKey = "delivery_id"

// Post implements [alert.Notifier] with chat.postMessage.
func (c *Client) Post(ctx context.Context, p alert.Post) (string, error) {
	options := content(&p)
	if p.Thread != "" {
		options = append(options, slack.MsgOptionTS(p.Thread))
		if p.Broadcast {
			options = append(options, slack.MsgOptionBroadcast())
		}
	}
	_, ts, err := c.api.PostMessageContext(ctx, p.Channel, options...)
	if err != nil {
		return "", c.sendError("post message", err)
	}
	if ts == "" {
		return "", c.sendError("post message", errNoTimestamp)
	}
	return ts, nil
}

// errNoTimestamp is an answer that claims success without saying where.
var errNoTimestamp = errors.New("the answer has no ts")

// Update implements [alert.Notifier] with chat.update.
func (c *Client) Update(ctx context.Context, ref string, p alert.Post) error {
	if _, _, _, err := c.api.UpdateMessageContext(ctx, p.Channel, ref, content(&p)...); err != nil {
		return c.sendError("update message", err)
	}
	return nil
}

// content is the part of a message that an update replaces.
func content(p *alert.Post) []slack.MsgOption {
	options := []slack.MsgOption{
		slack.MsgOptionText(fallback(p), false),
		slack.MsgOptionDisableMarkdown(),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{
			EventType:    metadataType,
			EventPayload: map[string]any{deliveryKey: p.DeliveryID, "incident_id": p.Message.Incident},
		}),
	}
	if b := blocks(&p.Message, p.Level); len(b) > 0 {
		options = append(options, slack.MsgOptionBlocks(b...))
	}
	return options
}

// pageSize is how many messages one look reads at once; Slack advises at most
// 200.
const pageSize = 200

// maxPages bounds a look: 10,000 messages since an attempt is more than any
// channel of people has.
const maxPages = 50

// Find implements [alert.Finder]: it reads the channel's history, or the thread,
// back to since and compares the metadata.
func (c *Client) Find(ctx context.Context, p alert.Post, since time.Time) (string, error) {
	oldest := fmt.Sprintf("%d.%06d", since.Unix(), since.Nanosecond()/1000)
	cursor := ""
	for range maxPages {
		messages, next, err := c.page(ctx, &p, oldest, cursor)
		if err != nil {
			return "", c.findError(err)
		}
		for n := range messages {
			m := &messages[n].Metadata
			if m.EventType == metadataType && m.EventPayload[deliveryKey] == p.DeliveryID {
				return messages[n].Timestamp, nil
			}
		}
		if next == "" {
			return "", nil
		}
		cursor = next
	}
	return "", &alert.SendError{Outcome: alert.Unknown, Err: fmt.Errorf("read back: more than %d messages since %s", maxPages*pageSize, since.UTC().Format(time.RFC3339))}
}

func (c *Client) page(ctx context.Context, p *alert.Post, oldest, cursor string) ([]slack.Message, string, error) {
	if p.Thread != "" {
		messages, _, next, err := c.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: p.Channel, Timestamp: p.Thread, Oldest: oldest, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		return messages, next, err
	}
	r, err := c.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
		ChannelID: p.Channel, Oldest: oldest, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
	})
	if err != nil {
		return nil, "", err
	}
	return r.Messages, r.ResponseMetaData.NextCursor, nil
}
