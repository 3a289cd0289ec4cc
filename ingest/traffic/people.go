package traffic

import (
	"encoding/base64"
	"math/rand/v2"
	"strconv"

	"gatehouse/ingest/event"
)

// person is one customer: what they own and what they present.
type person struct {
	n          int
	login      string // principal
	email      string
	card       string // a published test number
	uuid       string // id of the user object
	consumer   string // the gateway's id of the user
	credential string // the gateway's id of the credential
	accounts   []int
	orders     []int
	home, away string // addresses in two networks
	agent      string
	bearer     string // Authorization, "" for people who sign in with a cookie
	cookie     string
}

// Numbers of the first account and order, and how many of each people have.
const (
	firstAccount    = 100_000
	accountsPerUser = 2
	firstOrder      = 7_000_000
	ordersPerUser   = 4
)

// newPerson makes the n-th person of a world with the given number of people.
func newPerson(w *world, d dice, n, of int) *person {
	name := pick(d, givenNames) + "." + pick(d, familyNames) + strconv.Itoa(n)
	p := &person{
		n: n, login: name, email: name + "@mail.example", card: cards[n%len(cards)],
		uuid: d.uuid(), consumer: d.uuid(), credential: d.uuid(),
		home: homeAddress(d), away: awayAddress(d), agent: pick(d, browsers),
	}
	if n%9 == 4 {
		p.login = p.email // as with identity providers that make the address the name
	}
	for i := range accountsPerUser {
		p.accounts = append(p.accounts, firstAccount+accountsPerUser*n+i)
	}
	for i := range ordersPerUser {
		p.orders = append(p.orders, firstOrder+of*i+n)
	}
	p.signIn(w, d, w.start)
	return p
}

// signIn gives the person new credentials, as a login does.
func (p *person) signIn(w *world, d dice, now int64) {
	if p.usesCookie() {
		p.cookie = "theme=dark; sid=" + string(d.hex(nil, 40))
		return
	}
	p.bearer = "Bearer " + d.jwt(p, now, w.end)
}

// usesCookie holds for every fifth person: a session in place of a token.
func (p *person) usesCookie() bool { return p.n%5 == 3 }

// present puts who calls, from where and with what into a call.
func (p *person) present(r *event.Raw, address string) {
	r.Client, r.UserAgent = address, p.agent
	r.Principal, r.ClientID = p.login, p.consumer
	r.Authorization, r.Cookie = p.bearer, p.cookie
	if p.bearer != "" {
		r.AuthType, r.CredentialID = event.AuthJWT, p.credential
		return
	}
	r.AuthType = event.AuthSession
}

// presentAnonymous is for calls that carry no credential.
func (p *person) presentAnonymous(r *event.Raw, address string) {
	r.Client, r.UserAgent, r.AuthType = address, p.agent, event.AuthNone
}

// tokenLife is how long a token outlives the moment that asks for it.
const tokenLife = 3600 * sec

// jwt is a bearer token in the shape of an ES256 JWT. Its signature is random.
func (d dice) jwt(p *person, now, end int64) string {
	exp := (max(now, end) + tokenLife) / sec
	claims := `{"iss":"https://id.shop.example/","sub":"` + p.login + `","aud":"shop-api","email":"` + p.email +
		`","iat":` + strconv.FormatInt(now/sec, 10) + `,"exp":` + strconv.FormatInt(exp, 10) + `,"jti":"` + string(d.hex(nil, 16)) + `"}`
	var sig [64]byte
	for i := range sig {
		sig[i] = byte(d.Uint32())
	}
	b := make([]byte, 0, 480)
	b = base64.RawURLEncoding.AppendEncode(b, []byte(`{"alg":"ES256","typ":"JWT","kid":"shop-2026-1"}`))
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, []byte(claims))
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, sig[:]))
}

// uuid is a random UUID, version 4.
func (d dice) uuid() string {
	b := d.hex(make([]byte, 0, 32), 32)
	b[12], b[16] = '4', "89ab"[d.IntN(4)]
	return string(b[:8]) + "-" + string(b[8:12]) + "-" + string(b[12:16]) + "-" + string(b[16:20]) + "-" + string(b[20:])
}

// homeAddress is in one of 48 reserved IPv4 networks (/16) or, for a quarter of
// people, in one of 4,096 reserved IPv6 networks (/32).
func homeAddress(d dice) string {
	if d.chance(0.25) {
		return "3fff:" + strconv.FormatInt(int64(d.IntN(0x1000)), 16) + ":" + strconv.FormatInt(int64(1+d.IntN(0xffff)), 16) + "::" +
			strconv.FormatInt(int64(2+d.IntN(0xfffd)), 16)
	}
	return ipv4(100, 64+d.IntN(48), d)
}

// awayAddress is in one of 8 networks that mobile carriers use here.
func awayAddress(d dice) string { return ipv4(100, 112+d.IntN(8), d) }

// hostileAddress is in a network that no benign caller uses.
func hostileAddress(d dice) string { return ipv4(100, 120+d.IntN(8), d) }

func ipv4(a, b int, d dice) string {
	return strconv.Itoa(a) + "." + strconv.Itoa(b) + "." + strconv.Itoa(d.IntN(256)) + "." + strconv.Itoa(1+d.IntN(254))
}

// newZipf draws ranks from 0 to n-1, low ones more often.
func newZipf(d dice, n int) func() int {
	z := rand.NewZipf(d.Rand, zipfExponent, zipfOffset, uint64(n-1))
	return func() int { return int(z.Uint64()) }
}

var givenNames = []string{
	"ana", "ben", "chloe", "daniel", "elif", "farid", "grace", "hugo", "ines", "jonas", "keiko", "lena", "mateo",
	"nadia", "oskar", "paula", "quentin", "rosa", "samir", "tara", "uma", "viktor", "wanda", "xenia", "yusuf", "zoe",
}

var familyNames = []string{
	"almeida", "berger", "costa", "diallo", "eriksen", "fischer", "garcia", "hansen", "ivanov", "jansen", "kim",
	"lopez", "moreau", "novak", "okafor", "petrov", "quinn", "rossi", "silva", "tanaka", "ueda", "vargas", "weber", "yilmaz",
}

// cards are numbers that payment processors publish for tests.
var cards = []string{
	"4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "4012888888881881",
	"4242424242424242", "5105105105105100", "3530111333300000", "5200828282828210", "371449635398431",
}
