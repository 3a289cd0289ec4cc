package embedded

import "fmt"

// engineVersion is the libchdb release this package is written against.
const engineVersion = "26.7.3-stable.1"

// release is libchdb for one platform: an npm package at a pinned version.
type release struct {
	npm string // package name
	// sha512 is the base64 SHA-512 of the package's tarball; empty where it is
	// not pinned, and then it is not fetched.
	sha512 string
	// bytes is the size of the tarball, for the progress bar.
	bytes int64
}

// releases by GOOS/GOARCH. The library is the file libchdb.so of the package
// on every platform.
var releases = map[string]release{
	"linux/amd64": {
		npm:    "@chdb/lib-linux-x64-gnu",
		sha512: "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		bytes:  177_817_999,
	},
	"linux/arm64":  {npm: "@chdb/lib-linux-arm64-gnu"},
	"darwin/arm64": {npm: "@chdb/lib-darwin-arm64"},
	"darwin/amd64": {npm: "@chdb/lib-darwin-x64"},
}

// releaseFor is the release for a GOOS/GOARCH, or an error that says what else
// is possible.
func releaseFor(platform string) (release, error) {
	r, ok := releases[platform]
	switch {
	case !ok:
		return release{}, fmt.Errorf("fetch the SQL engine: there is no libchdb for %s; %s", platform, otherWays)
	case r.sha512 == "":
		return release{}, fmt.Errorf("fetch the SQL engine: the checksum of libchdb for %s is not pinned, so it is not fetched unasked: "+
			"run npm pack %s@%s, unpack it, and set %s to its libchdb.so; %s", platform, r.npm, engineVersion, envLibchdb, otherWays)
	}
	return r, nil
}

const otherWays = "or use a ClickHouse server: set clickhouse.url in gatehouse.yaml"
