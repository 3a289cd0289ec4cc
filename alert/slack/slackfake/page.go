package slackfake

import (
	"html/template"
	"net/http"
	"time"
)

// pageTemplate shows the messages to a person with a browser.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Slack, pretended</title>
<meta name="viewport" content="width=device-width"><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d1c1d;background:#fff}
article{border-left:4px solid #ccc;margin:1rem 0;padding:.2rem 1rem}article.reply{margin-left:3rem}
pre{font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}small{color:#616061}
@media(prefers-color-scheme:dark){body{background:#1a1d21;color:#d1d2d3}small{color:#9a9b9e}}
</style></head><body><h1>What the channels show</h1>
<p>This is not Slack: it is the server that stands in for it. {{len .}} messages.</p>
{{range .}}<article{{if .Thread}} class="reply"{{end}}><small>#{{.Name}} · {{.At}}{{if .Edits}} · edited {{.Edits}}×{{end}}{{if .Broadcast}} · also sent to the channel{{end}}</small>
<pre>{{range .Lines}}{{.}}
{{end}}</pre></article>
{{end}}</body></html>
`))

type shownMessage struct {
	Message
	Name string
	At   string
}

// page lists every root message with its replies below it.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	all := s.Messages()
	var shown []shownMessage
	add := func(m Message) {
		shown = append(shown, shownMessage{m, s.name(m.Channel), m.Posted.UTC().Format(time.DateTime) + "Z"})
	}
	for _, root := range all {
		if root.Thread != "" {
			continue
		}
		add(root)
		for _, m := range all {
			if m.Thread == root.TS && m.Channel == root.Channel {
				add(m)
			}
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	_ = pageTemplate.Execute(w, shown) // the reader is gone: there is nobody to tell
}

func (s *Server) name(channel string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channels[channel].Name
}
