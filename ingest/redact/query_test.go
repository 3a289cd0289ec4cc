package redact

import (
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

// Names stay while they are identifiers; values stay only where the policy names
// the parameter and the value looks as it must. Of other values the kind stays.
func TestQuery(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, out, redactions string }{
		{"", "", ""},
		{"page=2&per_page=50&sort=-created_at,name&lang=de-CH", "page=2&per_page=50&sort=-created_at,name&lang=de-CH", ""},
		{"page=1234567890", "page={int}", "query_value"},
		{"page=' OR 1=1--", "page={quoted}", "query_value"},
		{"sort=q8Zr2Kx0Vt7L", "sort={word}", "query_value"},
		{"q=blue+shoes&size=&flag", "q={text}&size=&flag", "query_value"},
		{"name=Miller", "name={word}", "query_value"},
		{"email=jo%40example.org", "email={email}", "email query_value"},
		{"n=4111+1111+1111+1111", "n={pan}", "pan query_value"},
		{"url=http%3A%2F%2F169.254.169.254%2Flatest", "url={url}", "query_value"},
		{"file=..%252F..%252Fetc%252Fpasswd", "file={path}", "query_value"},
		{"x=%3Cscript%3E", "x={markup}", "query_value"},
		{"x=%7B%22a%22%3A1%7D", "x={quoted}", "query_value"},
		{"x=a%7Cid", "x={code}", "query_value"},
		{"from=2026-11-24", "from={date}", "query_value"},
		{"x=%2525252e", "x={encoded}", "query_value"},
		// Credentials.
		{"access_token=abc", "access_token={secret}", "query_value secret_in_url"},
		{"password=hunter2", "password={secret}", "query_value secret_in_url"},
		{"X-Amz-Signature=" + strings.Repeat("0f", 32), "X-Amz-Signature={secret}", "query_value secret_in_url"},
		{"key=color", "key={word}", "query_value"},
		{"code=404", "code={int}", "query_value"},
		{"code=4%2F0AX4XfWh", "code={secret}", "query_value secret_in_url"},
		{"v=" + jwtInPath, "v={token}", "query_value secret_in_url token"},
		{"next_page_token=CAoQAA1b2c", "next_page_token={word}", "query_value"},
		// Names can be secrets, or no names.
		{jwtInPath + "=1", "", "param_dropped secret_in_url"},
		{"q8Zr2Kx0Vt7Lm4Wd9Hs1=1&a=b", "a={word}", "param_dropped query_value"},
		{"<x>=1&{token}=2&&=&a%20b=3", "", "param_dropped"},
		{"ids[]=7&filter[name]=x", "ids[]={int}&filter[name]={word}", "query_value"},
	} {
		raw := event.NewRaw("kong")
		raw.Query = c.in
		e := redactOne(t, r, raw)
		got := []string{e.Query, strings.Join(e.Redactions, " ")}
		if diff := cmp.Diff([]string{c.out, c.redactions}, got); diff != "" {
			t.Errorf("query %q (-want +got):\n%s", c.in, diff)
		}
	}
}

// Ids in parameters that are named like ids are objects of the call.
func TestObjectsOfTheQuery(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Query = "id=7&orderId=8&account_id=" + uuidInURL + "&paid=9&valid=3&doc_id=q8zr2kx0vt7lm4wd9hs1&uuid=" + uuidInURL
	e := redactOne(t, fixedRedactor(t), raw)
	want := []event.Object{
		{Name: "id", Ref: "7"}, {Name: "orderId", Ref: "8"}, {Name: "account_id", Ref: uuidInURL},
		{Name: "doc_id", Ref: ref("q8zr2kx0vt7lm4wd9hs1")}, {Name: "uuid", Ref: uuidInURL},
	}
	if diff := cmp.Diff(want, e.Objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// A query that the decoder left on the path is a query.
func TestQueryOnThePath(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Path = "/a?password=hunter2#x"
	if e := redactOne(t, fixedRedactor(t), raw); e.Path != "/a" || e.Query != "password={secret}" {
		t.Errorf("path %q, query %q", e.Path, e.Query)
	}
}

func TestQueryLimits(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Query = strings.Repeat("page=1&", event.MaxQuery)
	e := redactOne(t, fixedRedactor(t), raw)
	if n := strings.Count(e.Query, "page=1"); n != maxParams || len(e.Quality) != 1 || e.Quality[0] != "query_cut" {
		t.Errorf("%d parameters, quality %v: want %d and query_cut", n, e.Quality, maxParams)
	}
}
