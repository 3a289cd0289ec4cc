package redact

import "strings"

// charset is a set of bytes.
type charset [4]uint64

func (c *charset) has(b byte) bool { return c[b>>6]&(1<<(b&63)) != 0 }

// chars makes a charset; "a-z" is a range.
func chars(spec string) *charset {
	var c charset
	for i := 0; i < len(spec); i++ {
		last := spec[i]
		if i+2 < len(spec) && spec[i+1] == '-' {
			last = spec[i+2]
		}
		for b := int(spec[i]); b <= int(last); b++ {
			c[b>>6] |= 1 << (b & 63)
		}
		if last != spec[i] {
			i += 2
		}
	}
	return &c
}

var (
	base62   = chars("A-Za-z0-9")
	base64u  = chars("A-Za-z0-9_-")
	base64s  = chars("A-Za-z0-9+/=_-")
	dotted   = chars("A-Za-z0-9._-")
	hexits   = chars("0-9a-fA-F")
	upper36  = chars("A-Z0-9")
	lower36  = chars("a-z0-9")
	dashHex  = chars("0-9a-fA-F-")
	webhooks = chars("A-Za-z0-9/_-")
)

// family is one kind of published token: a literal start and the shape of the
// rest. What has the shape is a secret; checksums are not asked, because a
// mistyped token is one too.
type family struct {
	prefix string
	min    int // bytes behind the prefix, at least
	tail   *charset
}

// families are the token shapes that services publish.
var families = []family{
	{"ghp_", 16, base62}, {"gho_", 16, base62}, {"ghu_", 16, base62}, {"ghs_", 16, base62}, {"ghr_", 16, base62},
	{"github_pat_", 20, base64u}, {"glpat-", 16, dotted}, {"gldt-", 16, base64u}, {"glrt-", 16, base64u},
	{"glptt-", 16, base64u}, {"glcbt-", 16, base64u}, {"glsoat-", 16, base64u}, {"gloas-", 16, base64u}, {"GR1348941", 16, base64u},
	{"sk_live_", 10, base64u}, {"sk_test_", 10, base64u}, {"rk_live_", 10, base64u}, {"rk_test_", 10, base64u}, {"whsec_", 16, base64s},
	{"sk-", 20, base62}, {"sk-proj-", 20, base64u}, {"sk-ant-", 20, base64u}, {"sk-svcacct-", 20, base64u}, {"sk-admin-", 20, base64u}, {"sk-or-v1-", 32, hexits}, {"pk_live_", 10, base62}, {"xai-", 20, base64u}, {"gsk_", 20, base62}, {"pplx-", 20, base62},
	{"xoxa-", 8, dotted}, {"xoxb-", 8, dotted}, {"xoxe-", 8, dotted}, {"xoxo-", 8, dotted}, {"xoxp-", 8, dotted},
	{"xoxr-", 8, dotted}, {"xoxs-", 8, dotted}, {"xoxc-", 8, dotted}, {"xoxd-", 8, chars("A-Za-z0-9%/+=_-")}, {"xoxe.", 8, dotted}, {"xapp-", 8, dotted}, {"xwfp-", 8, dotted},
	{"hooks.slack.com/", 16, webhooks}, {"discord.com/api/webhooks/", 16, webhooks}, {"discordapp.com/api/webhooks/", 16, webhooks},
	{"AKIA", 12, upper36}, {"ASIA", 12, upper36}, {"ABIA", 12, upper36}, {"ACCA", 12, upper36}, {"AROA", 12, upper36}, {"AIDA", 12, upper36}, {"AGPA", 12, upper36},
	{"AIPA", 12, upper36}, {"ANPA", 12, upper36}, {"ANVA", 12, upper36}, {"A3T", 16, upper36}, {"ABSK", 24, base64s},
	{"AIza", 30, base64u}, {"ya29.", 16, base64u}, {"GOCSPX-", 20, base64u}, {"1//0", 20, base64u},
	{"npm_", 30, base62}, {"pypi-", 40, base64u}, {"rubygems_", 32, hexits}, {"oy2", 40, lower36}, {"CLOJARS_", 32, hexits},
	{"hvs.", 20, base64u}, {"hvb.", 20, base64u}, {"hvr.", 20, base64u}, {"atlasv1.", 20, base64u},
	{"dop_v1_", 32, hexits}, {"doo_v1_", 32, hexits}, {"dor_v1_", 32, hexits}, {"dp.pt.", 20, base62}, {"dp.st.", 20, dotted}, {"dp.ct.", 20, dotted}, {"dp.sa.", 20, dotted},
	{"SG.", 30, dotted}, {"key-", 32, hexits}, {"pubkey-", 32, hexits}, {"SK", 32, hexits}, {"AC", 32, hexits}, {"xkeysib-", 32, dotted}, {"xsmtpsib-", 32, dotted},
	{"shpat_", 16, hexits}, {"shpca_", 16, hexits}, {"shppa_", 16, hexits}, {"shpss_", 16, hexits}, {"sq0atp-", 16, base64u}, {"sq0csp-", 16, base64u},
	{"sq0idp-", 16, base64u}, {"EAAA", 40, base64u}, {"EAAC", 40, base62}, {"EAAG", 40, base62}, {"access_token$production$", 16, base62}, {"pat-na1-", 20, dashHex},
	{"lin_api_", 20, base62}, {"lin_oauth_", 20, base62}, {"ntn_", 20, base62}, {"secret_", 30, base62}, {"figd_", 20, base64u}, {"dapi", 32, hexits},
	{"tskey-", 20, base64u}, {"glagent-", 20, base64u}, {"dp.audit.", 20, base62}, {"dp.scim.", 20, base62}, {"PMAK-", 20, dashHex}, {"pul-", 32, hexits}, {"rdme_", 32, lower36}, {"sgp_", 32, base64u}, {"slk_", 32, hexits}, {"tk-us-", 20, base62},
	{"NRAK-", 20, upper36}, {"NRJS-", 16, hexits}, {"NRII-", 20, base64u}, {"NRIQ-", 20, base64u}, {"NRRA-", 20, hexits},
	{"glc_", 30, base64s}, {"glsa_", 30, base64u}, {"eyJrIjoi", 40, base64s}, {"sntrys_", 30, base64s}, {"sntryu_", 32, hexits}, {"phc_", 30, base62}, {"phx_", 30, base62},
	{"hf_", 30, base62}, {"api_org_", 30, base62}, {"r8_", 30, base62}, {"tfp_", 30, base64u}, {"fo1_", 30, base64u}, {"fm1r_", 30, base64s}, {"fm1_", 30, base64s}, {"fm2_", 30, base64s},
	{"dckr_pat_", 20, base64u}, {"dckr_oat_", 20, base64u}, {"ATATT3", 30, base64s}, {"ATCTT3", 30, base64s}, {"ATBB", 24, base64s}, {"BBDC-", 30, base64s},
	{"AGE-SECRET-KEY-1", 30, upper36}, {"A3-", 24, chars("A-Z0-9-")}, {"ops_eyJ", 40, base64s}, {"p8e-", 20, base64u}, {"LTAI", 16, base62},
	{"AKID", 20, base62}, {"AKLT", 20, base64u}, {"t1.", 40, dotted}, {"y0_", 30, base64u}, {"AQVN", 30, base64u}, {"YC", 38, base64u}, {"CFPAT-", 30, base64u},
	{"v1.0-", 30, base64u}, {"flb_live_", 10, base62}, {"FLWSECK", 16, base64u}, {"FLWPUBK", 16, base64u}, {"duffel_", 30, base64u}, {"EZAK", 40, base62}, {"EZTK", 40, base62},
	{"live_", 30, base62}, {"test_", 30, base62}, {"shippo_live_", 30, hexits}, {"shippo_test_", 30, hexits}, {"prefect:", 20, base62}, {"pnu_", 30, base62},
	{"pscale_", 20, dotted}, {"patk_", 20, base62}, {"infracost-", 20, base62}, {"ico-", 30, base62}, {"ITMVlt", 10, base64u}, {"aio_", 20, base62}, {"vercel_", 20, base62},
	{"sbp_", 30, hexits}, {"sb_secret_", 20, base64u}, {"nvapi-", 40, base64u}, {"bkua_", 30, hexits}, {"CCIPAT_", 20, base64u}, {"jfrt", 16, base62}, {"AKCp", 16, base62},
	{"cmVmdGtu", 30, base62}, {"NPSC", 16, base64u}, {"HRKU-", 30, base64u}, {"cs_live_", 20, base62}, {"rzp_live_", 10, base62}, {"rzp_test_", 10, base62},
}

// familyIndex finds families by their first byte.
var familyIndex = indexFamilies(families)

func indexFamilies(all []family) (index [256][]family) {
	for _, f := range all {
		index[f.prefix[0]] = append(index[f.prefix[0]], f)
	}
	return index
}

// tokenStarts has, per code of a first byte, the codes of the second bytes with
// which a token may begin: half a kilobyte that tells almost every word apart.
var tokenStarts = startTokens(families)

func startTokens(all []family) (t [codeCount]uint64) {
	for _, f := range all {
		t[codes[f.prefix[0]]] |= 1 << codes[f.prefix[1]]
	}
	t[codes['e']] |= 1 << codes['y'] // of a JWT
	t[codeMark], t[codeOther] = 0, 0 // no word begins so
	return t
}

// tokenAt gives the end of the published token, or JWT, that begins at s[i], and
// 0 if none does.
func tokenAt(s string, i int) int {
	const shortest = 8
	if len(s)-i < shortest {
		return 0
	}
	if tokenStarts[codes[s[i]]%codeCount]>>(codes[s[i+1]]%codeCount)&1 == 0 {
		return 0
	}
	all := familyIndex[s[i]]
	for k := range all {
		if all[k].prefix[1] != s[i+1] {
			continue // spares a call for most
		}
		if end := all[k].at(s, i); end > 0 {
			return end
		}
	}
	if s[i] == 'e' {
		return jwtAt(s, i)
	}
	return 0
}

// at gives the end of the token of the family that begins at s[i], and 0 if none
// does.
func (f *family) at(s string, i int) int {
	start := i + len(f.prefix)
	if len(s) < start+f.min || !strings.HasPrefix(s[i:], f.prefix) {
		return 0
	}
	end := start
	for end < len(s) && f.tail.has(s[end]) {
		end++
	}
	if end < start+f.min {
		return 0
	}
	return end
}

// jwtAt gives the end of the JWT or JWE that begins at s[i], and 0 if none does.
// A JWT without its signature, or cut inside its payload, is one too.
func jwtAt(s string, i int) int {
	const shortest = 20 // {"alg":"none"} has 20 digits of base64
	if !strings.HasPrefix(s[i:], "eyJ") {
		return 0
	}
	end := i
	for end < len(s) && classes[s[end]]&classJWT != 0 {
		end++
	}
	if end-i < shortest || end-i < 2*shortest && strings.IndexByte(s[i:end], '.') < 0 {
		return 0
	}
	return end
}
