// Package paged holds long lists of small things in pages. A slice that grows is copied, and
// takes twice what it holds meanwhile; a list of pages takes what it holds, and a page.
package paged

// pageLen is how many things are in a page.
const pageLen = 1 << 12

// List is a list of things without pointers. The zero value is empty. It is not safe for use
// by several goroutines while it changes.
type List[T any] struct {
	pages [][]T // all full but the last
	n     int
}

// Len counts the things.
func (l *List[T]) Len() int { return l.n }

// At gives the place of a thing, which is good until the list grows.
func (l *List[T]) At(i int) *T { return &l.pages[i/pageLen][i%pageLen] }

// Append adds a thing at the end.
func (l *List[T]) Append(v T) {
	last := len(l.pages) - 1
	switch {
	case last < 0:
		l.pages = append(l.pages, nil) // the only page of a short list, which grows as any slice
		last++
	case len(l.pages[last]) == pageLen:
		l.pages = append(l.pages, make([]T, 0, pageLen))
		last++
	}
	l.pages[last] = append(l.pages[last], v)
	l.n++
}

// Get gives a thing, zero beyond the end.
func (l *List[T]) Get(i int) (v T) {
	if i < l.n {
		v = *l.At(i)
	}
	return v
}

// Set sets a thing. Beyond the end it puts zeros between.
func (l *List[T]) Set(i int, v T) {
	var zero T
	for l.n <= i {
		l.Append(zero)
	}
	*l.At(i) = v
}
