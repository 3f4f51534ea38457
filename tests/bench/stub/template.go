package stub

import "bytes"

// value gives the form of a feature's value, with blanks for its digits: as in real
// families some are fine, some are coarse, and some are counts.
func value(feature int) string {
	return [...]string{"0.######", "0.####", "1####"}[feature%3]
}

// template is text with blanks that are filled with digits.
type template struct {
	text   []byte
	blanks []blank
}

// blank is an even number of digits.
type blank struct{ from, to int }

func newTemplate(text string) template {
	t := template{text: []byte(text)}
	for at := 0; ; {
		n := bytes.IndexByte(t.text[at:], '#')
		if n < 0 {
			return t
		}
		b := blank{at + n, at + n}
		for t.text[b.to] == '#' {
			b.to++
		}
		t.blanks = append(t.blanks, b)
		at = b.to
	}
}

// write writes the text with digits that follow from the seed.
func (t *template) write(out *bytes.Buffer, seed uint64) {
	start := out.Len()
	out.Write(t.text)
	text := out.Bytes()[start:]
	for _, b := range t.blanks {
		// SplitMix64: the next number of a generator with one addition and two products.
		seed += 0x9e3779b97f4a7c15
		z := (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		into := text[b.from:b.to]
		for i := 0; i < len(into); i += 2 {
			two := z & 0xffff * 100 >> 16
			into[i], into[i+1] = pairs[2*two], pairs[2*two+1]
			z >>= 16
		}
		into[len(into)-1] |= 1 // who writes numbers drops a last digit that is 0
	}
}

// pairs are the numbers from 00 to 99.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"
