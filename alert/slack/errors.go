package slack

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"gatehouse/alert"
)

// outcomes says what became of a message when Slack answers with this error.
// What is not in it may have arrived.
var outcomes = map[string]alert.Outcome{
	"invalid_blocks":          alert.TooRich,
	"invalid_blocks_format":   alert.TooRich,
	"msg_blocks_too_long":     alert.TooRich,
	"msg_too_long":            alert.TooRich,
	"too_many_attachments":    alert.TooRich,
	"metadata_too_large":      alert.Permanent,
	"invalid_metadata_format": alert.Permanent,
	"invalid_metadata_schema": alert.Permanent,
	"no_text":                 alert.Permanent,

	"message_not_found":               alert.Gone,
	"thread_not_found":                alert.Gone,
	"cant_update_message":             alert.Gone,
	"edit_window_closed":              alert.Gone,
	"cannot_reply_to_message":         alert.Gone,
	"restricted_action_thread_locked": alert.Gone,

	"not_authed":                            alert.Denied,
	"invalid_auth":                          alert.Denied,
	"account_inactive":                      alert.Denied,
	"token_revoked":                         alert.Denied,
	"token_expired":                         alert.Denied,
	"no_permission":                         alert.Denied,
	"missing_scope":                         alert.Denied,
	"not_allowed_token_type":                alert.Denied,
	"access_denied":                         alert.Denied,
	"ekm_access_denied":                     alert.Denied,
	"org_login_required":                    alert.Denied,
	"team_access_not_granted":               alert.Denied,
	"channel_not_found":                     alert.Denied,
	"not_in_channel":                        alert.Denied,
	"is_archived":                           alert.Denied,
	"restricted_action":                     alert.Denied,
	"restricted_action_read_only_channel":   alert.Denied,
	"restricted_action_thread_only_channel": alert.Denied,

	"ratelimited":            alert.RetryAfter,
	"rate_limited":           alert.RetryAfter,
	"message_limit_exceeded": alert.RetryAfter,
}

// sendError sorts an error of slack-go and takes the token out of its text.
func (c *Client) sendError(verb string, err error) error {
	out := &alert.SendError{Outcome: alert.Unknown, Err: c.clean(verb, err)}
	if e, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		out.Outcome, out.After = alert.RetryAfter, max(e.RetryAfter, time.Second)
	} else if e, ok := errors.AsType[slack.StatusCodeError](err); ok {
		out.Outcome = statusOutcome(e.Code)
	} else if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		if known, ok := outcomes[e.Err]; ok {
			out.Outcome = known
		}
	} else if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		out.Outcome = alert.Unsent
	} else if _, ok := errors.AsType[*net.DNSError](err); ok {
		out.Outcome = alert.Unsent
	}
	return out
}

// statusOutcome sorts answers that are no JSON: a proxy, or Slack in trouble.
func statusOutcome(code int) alert.Outcome {
	switch {
	case code == http.StatusTooManyRequests:
		return alert.RetryAfter
	case code == http.StatusRequestEntityTooLarge:
		return alert.TooRich
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusProxyAuthRequired:
		return alert.Denied
	}
	return alert.Unknown
}

// findError is sendError for a look: when the token may not look at all, the
// outcome is Permanent, as [alert.Finder] has it.
func (c *Client) findError(err error) error {
	out := c.sendError("read back", err)
	if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok && (e.Err == "missing_scope" || e.Err == "not_allowed_token_type") {
		return &alert.SendError{Outcome: alert.Permanent, Err: errors.Unwrap(out)}
	}
	return out
}

// advice says what to do about errors that a person has to mend.
var advice = map[string]string{
	"invalid_auth":      "the token is wrong: copy it from the app's OAuth & Permissions page",
	"not_authed":        "no token was sent",
	"token_revoked":     "reinstall the app and set its new token",
	"token_expired":     "reinstall the app and set its new token",
	"account_inactive":  "the app was removed from the workspace: install it again",
	"channel_not_found": "set the channel's id (such as C0123456789), and invite the app if the channel is private",
	"not_in_channel":    "invite the app to the channel: /invite @gatehouse",
	"is_archived":       "the channel is archived: configure another",
}

// clean is err with a verb, with advice and without the token.
func (c *Client) clean(verb string, err error) error {
	text := err.Error()
	if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		text = e.Err
		if e.Needed != "" {
			text += fmt.Sprintf(": the token needs the scope %s and has %s: add it on the app's page and reinstall the app", e.Needed, e.Provided)
		}
		if a := advice[e.Err]; a != "" {
			text += ": " + a
		}
		if len(e.ResponseMetadata.Messages) > 0 {
			text += ": " + strings.Join(e.ResponseMetadata.Messages, "; ")
		}
	}
	return fmt.Errorf("%s at %s: %s", verb, c.url, strings.ReplaceAll(text, c.secret, "***"))
}
