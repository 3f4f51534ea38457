// Package sample holds the identity of a sample: a user at a point in time.
package sample

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Key identifies a sample in completion indexes: the first 128 bits of SHA-256 over
// the length of the user id (8 bytes, big endian), the user id, and the point in
// time (epoch milliseconds, 8 bytes, big endian).
type Key [16]byte

// KeyOf gives the key of a user at a point in time (epoch milliseconds).
func KeyOf[T ~string | ~[]byte](userID T, epochMS int64) Key {
	var stack [128]byte
	b := binary.BigEndian.AppendUint64(stack[:0], uint64(len(userID)))
	b = append(b, userID...)
	b = binary.BigEndian.AppendUint64(b, uint64(epochMS))
	sum := sha256.Sum256(b)
	return Key(sum[:16])
}

// String gives the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// FormatTime writes a point in time as keys and requests carry it: RFC 3339 in UTC
// to the second, with milliseconds only where they are not zero.
func FormatTime(epochMS int64) string { return string(AppendTime(nil, epochMS)) }

// AppendTime appends what FormatTime gives.
func AppendTime(b []byte, epochMS int64) []byte {
	layout := time.RFC3339 // the only layout that time does not read anew each time
	if epochMS%1000 != 0 {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return time.UnixMilli(epochMS).UTC().AppendFormat(b, layout)
}
