package slackfake

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxBody bounds a request.
const maxBody = 1 << 20

// params are the arguments of a call, from a form or a JSON object alike.
type params struct {
	token string
	json  map[string]json.RawMessage
	form  url.Values
}

// readParams reads a request. Slack takes the token from the header, or from a
// form, but not from a JSON body.
func readParams(r *http.Request) (params, error) {
	p := params{form: r.URL.Query()}
	p.form.Del("token")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return p, refuse("request_timeout")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		dec := json.NewDecoder(bytes.NewReader(body))
		if err := dec.Decode(&p.json); err != nil {
			return p, refuse("invalid_json")
		}
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return p, refuse("invalid_form_data")
		}
		p.form, p.token = form, form.Get("token")
	case "":
		if len(body) > 0 {
			return p, refuse("missing_post_type")
		}
	default:
		return p, refuse("invalid_post_type")
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		p.token = bearer
	}
	return p, nil
}

// text is a string argument, "" when absent.
func (p params) text(name string) string {
	if raw, ok := p.json[name]; ok {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		return string(raw)
	}
	return p.form.Get(name)
}

// flag is a boolean argument.
func (p params) flag(name string) bool {
	on, err := strconv.ParseBool(p.text(name))
	return err == nil && on
}

// object is a structured argument: JSON inside a form, or itself in JSON.
func (p params) object(name string) json.RawMessage {
	if raw, ok := p.json[name]; ok && len(raw) > 0 && raw[0] != '"' {
		return raw
	}
	if s := p.text(name); s != "" {
		return json.RawMessage(s)
	}
	return nil
}

// number is an integer argument, or def.
func (p params) number(name string, def int) int {
	n, err := strconv.Atoi(p.text(name))
	if err != nil {
		return def
	}
	return n
}
