// Package slackfake is an HTTP server that behaves as Slack documents its Web
// API to, as far as Gatehouse uses it: for tests, and for the demo, where a page
// shows what a channel would. It checks tokens and scopes, validates blocks,
// limits rates, pages through histories, and fails on request.
//
// It shares no code with the client that it tests.
package slackfake
