// Package slack is the Notifier that posts to Slack: Block Kit messages made
// from [alert.Message], errors sorted by what became of the message, and the
// look-back that finds a message by its metadata.
//
// Nothing that comes from an event is ever given to Slack as mrkdwn: values go
// into plain_text, into raw cells of tables and into the text elements of
// rich_text, none of which Slack interprets. The only mrkdwn are constants and
// times made of digits.
package slack
