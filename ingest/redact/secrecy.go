package redact

import "strings"

// secrecy is how secret the value of a name is.
type secrecy uint8

const (
	open    secrecy = iota // says nothing
	guarded                // secret unless it is a plain word or a small number: "token", "key"
	closed                 // always secret: "password"
	header                 // always secret, and may hold several words: "authorization"
)

// maxParam is the longest name of a query parameter, in bytes.
const maxParam = 64

// secretNames are names in lower case without "-", "_", ".", "[" and "]".
var secretNames = map[string]secrecy{
	"authorization": header, "proxyauthorization": header, "cookie": header, "setcookie": header,
	"accesstoken": closed, "idtoken": closed, "refreshtoken": closed, "authtoken": closed, "bearertoken": closed, "apikey": closed, "xapikey": closed,
	"pass": closed, "pwd": closed, "pw": closed, "passphrase": closed, "passcode": closed, "otp": closed, "totp": closed,
	"pin": closed, "cvv": closed, "cvc": closed, "ssn": closed, "cardnumber": closed, "ccnumber": closed, "pan": closed, "creds": closed,
	"assertion": guarded, "auth": guarded, "bearer": guarded, "code": guarded, "codeverifier": guarded, "hash": guarded, "hmac": guarded, "jwt": guarded, "key": guarded,
	"nonce": open, "nexttoken": open, "nextpagetoken": open, "pagetoken": open, "continuationtoken": open, "synctoken": open, "csrftoken": open, "xsrftoken": open,
	"samlrequest": guarded, "samlresponse": guarded, "session": guarded, "sessid": guarded, "jsessionid": guarded, "phpsessid": guarded, "sid": guarded,
	"sig": guarded, "ticket": guarded, "magic": guarded, "invite": guarded, "keypairid": guarded, "securitytoken": guarded, "awsaccesskeyid": guarded,
	"signature": guarded, "userpass": closed, "accountkey": closed, "sharedaccesskey": closed,
}

// secretEndings are the ends that make a longer name secret.
var secretEndings = []struct {
	end     string
	secrecy secrecy
}{
	{"password", closed}, {"passwd", closed}, {"secret", closed}, {"privatekey", closed}, {"secretkey", closed},
	{"token", guarded}, {"apikey", guarded}, {"accesskey", guarded}, {"authkey", guarded}, {"signature", guarded},
	{"credential", guarded}, {"credentials", guarded}, {"sessionid", guarded}, {"encryptionkey", guarded}, {"signingkey", guarded},
}

// secretEnds has, per code of a first byte, the codes of the last bytes of the
// names in secretNames, and secretLasts those of secretEndings: a word before
// every colon of a text is asked for here, and few are names of secrets.
var (
	secretEnds  = endsOfNames()
	secretLasts = lastsOfEndings()
)

func endsOfNames() (t [codeCount]uint64) {
	for name := range secretNames {
		t[codes[name[0]]] |= 1 << codes[name[len(name)-1]]
	}
	return t
}

func lastsOfEndings() (set uint64) {
	for _, e := range secretEndings {
		set |= 1 << codes[e.end[len(e.end)-1]]
	}
	return set
}

// secrecyOf is how secret the values of a name are.
func secrecyOf(name string) secrecy {
	if len(name) > maxParam {
		return guarded
	}
	var buf [maxParam]byte
	key := squeeze(buf[:0], name)
	if len(key) == 0 {
		return open
	}
	first, last := codes[key[0]]%codeCount, codes[key[len(key)-1]]%codeCount
	if secretEnds[first]>>last&1 != 0 {
		if s, ok := secretNames[string(key)]; ok {
			return s
		}
	}
	if secretLasts>>last&1 == 0 {
		return open
	}
	for _, e := range secretEndings {
		if len(key) >= len(e.end) && string(key[len(key)-len(e.end):]) == e.end {
			return e.secrecy
		}
	}
	return open
}

// squeeze appends the letters and digits of a name in lower case.
func squeeze(dst []byte, name string) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case isUpper(c):
			dst = append(dst, c|0x20)
		case isAlnum(c):
			dst = append(dst, c)
		}
	}
	return dst
}

// isFileType says whether a file-name extension, in any case, is one of files
// that people put on web servers.
func isFileType(ext string) bool {
	_, ok := fileTypes[lower(ext)]
	return ok
}

// fileTypes maps extensions to whether such files are records that have ids
// (an invoice's PDF) and not assets of a page.
var fileTypes = map[string]bool{
	"json": true, "xml": true, "csv": true, "pdf": true, "txt": true, "yaml": true, "yml": true, "xlsx": true, "docx": true,
	"atom": false, "avif": false, "bmp": false, "css": false, "eot": false, "gif": false, "gz": false, "htm": false, "html": false, "ico": false,
	"jpeg": false, "jpg": false, "js": false, "map": false, "mjs": false, "mp3": false, "mp4": false, "otf": false, "php": false, "png": false,
	"rss": false, "svg": false, "tar": false, "tgz": false, "ttf": false, "wasm": false, "webm": false, "webmanifest": false, "webp": false,
	"woff": false, "woff2": false, "zip": false, "asp": false, "aspx": false, "jsp": false, "cgi": false, "swf": false, "log": false,
	"bz2": false, "deb": false, "rpm": false, "patch": false, "diff": false, "conf": false, "sh": false, "py": false, "rb": false, "pl": false,
}

// isAsset says whether an extension with its dot is of files that belong to a
// page. Build tools name those by a hash of their content, so there a random
// name is no credential.
func isAsset(ext string) bool {
	switch lower(ext) {
	case ".avif", ".css", ".eot", ".gif", ".ico", ".jpeg", ".jpg", ".js", ".map", ".mjs", ".otf", ".png", ".svg", ".ttf", ".webp", ".woff", ".woff2":
		return true
	}
	return false
}

// splitFileType parts "name.ext" where ext is a known type; ext keeps its dot.
func splitFileType(name string) (stem, ext string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 || !isFileType(name[dot+1:]) {
		return name, ""
	}
	return name[:dot], name[dot:]
}
