package stream

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
)

// Bounds of what a broker may ask of the client: fewer rounds would give the
// password away, more would be a way to hold us up.
const (
	minScramRounds = 4096
	maxScramRounds = 1 << 20
)

// scram is SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: no channel binding,
// and names and passwords as their UTF-8 bytes.
type scram struct {
	name         string
	hash         func() hash.Hash
	user, secret string
	nonce        func() string
}

func newScram(mechanism, user, secret string) scram {
	h := sha256.New
	if mechanism == ScramSHA512 {
		h = sha512.New
	}
	return scram{name: mechanism, hash: h, user: user, secret: secret, nonce: rand.Text}
}

// Name implements sasl.Mechanism.
func (s scram) Name() string { return s.name }

// Start implements sasl.Mechanism: the client's first message.
func (s scram) Start(context.Context) (sasl.StateMachine, []byte, error) {
	escaped := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
	x := &scramExchange{scram: s, clientNonce: s.nonce()}
	x.first = "n=" + escaped + ",r=" + x.clientNonce
	return x, []byte("n,," + x.first), nil
}

type scramExchange struct {
	scram
	clientNonce string
	first       string // the client's first message, bare
	signature   []byte // what the server must prove to know, once we have answered
}

var errScram = errors.New("SCRAM: the broker's message is malformed")

// Next implements sasl.StateMachine.
func (x *scramExchange) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if x.signature != nil {
		return x.verify(challenge)
	}
	nonce, salt, rounds, err := x.readChallenge(string(challenge))
	if err != nil {
		return false, nil, err
	}
	salted, err := pbkdf2.Key(x.hash, x.secret, salt, rounds, x.hash().Size())
	if err != nil {
		return false, nil, fmt.Errorf("derive SCRAM key: %w", err)
	}
	final := "c=biws,r=" + nonce
	auth := []byte(x.first + "," + string(challenge) + "," + final)
	key := x.mac(salted, []byte("Client Key"))
	stored := x.hash()
	stored.Write(key)
	proof := make([]byte, len(key))
	subtle.XORBytes(proof, key, x.mac(stored.Sum(nil), auth))
	x.signature = x.mac(x.mac(salted, []byte("Server Key")), auth)
	return false, []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// readChallenge takes the server's first message apart: r=nonce,s=salt,i=rounds.
func (x *scramExchange) readChallenge(text string) (nonce string, salt []byte, rounds int, err error) {
	parts := strings.Split(text, ",")
	if len(parts) < 3 || !strings.HasPrefix(parts[0], "r=") || !strings.HasPrefix(parts[1], "s=") || !strings.HasPrefix(parts[2], "i=") {
		return "", nil, 0, errScram
	}
	nonce = parts[0][2:]
	if !strings.HasPrefix(nonce, x.clientNonce) || len(nonce) == len(x.clientNonce) {
		return "", nil, 0, errors.New("SCRAM: the broker's nonce does not continue ours")
	}
	if salt, err = base64.StdEncoding.DecodeString(parts[1][2:]); err != nil {
		return "", nil, 0, errScram
	}
	rounds, err = strconv.Atoi(parts[2][2:])
	if err != nil || rounds < minScramRounds || rounds > maxScramRounds {
		return "", nil, 0, fmt.Errorf("SCRAM: the broker asks for %q rounds: want %d to %d", parts[2][2:], minScramRounds, maxScramRounds)
	}
	return nonce, salt, rounds, nil
}

// verify checks that the broker knows the password too.
func (x *scramExchange) verify(final []byte) (bool, []byte, error) {
	text, found := bytes.CutPrefix(final, []byte("v="))
	got, err := base64.StdEncoding.DecodeString(string(text))
	if !found || err != nil || !hmac.Equal(got, x.signature) {
		return false, nil, errors.New("SCRAM: the broker could not prove that it knows the password")
	}
	return true, nil, nil
}

func (x *scramExchange) mac(key, text []byte) []byte {
	m := hmac.New(x.hash, key)
	m.Write(text)
	return m.Sum(nil)
}
