package main

import (
	"fmt"
	"io"
	"strings"
)

// A report counts what became of the mutants, and tells it line by line.
type report struct {
	out       io.Writer
	want      int
	noticed   int
	survivors []site
}

func (r *report) done() bool { return r.noticed+len(r.survivors) >= r.want }

func (r *report) add(s site, v verdict) {
	switch {
	case !v.compiles:
		return
	case v.by == "":
		r.survivors = append(r.survivors, s)
		r.say("SURVIVED", s, v, "no test noticed it")
	default:
		r.noticed++
		r.say("noticed", s, v, v.by)
	}
}

func (r *report) say(word string, s site, v verdict, by string) {
	if len(v.unsure) > 0 {
		by += " (now and then: " + strings.Join(v.unsure, ", ") + ")"
	}
	_, _ = fmt.Fprintf(r.out, "%-8s  %-9s  %s  [%s]\n", word, s.kind, s, by)
}

func (r *report) sum() {
	_, _ = fmt.Fprintf(r.out, "%d of %d noticed\n", r.noticed, r.noticed+len(r.survivors))
	for _, s := range r.survivors {
		_, _ = fmt.Fprintf(r.out, "survivor: %s\n", s)
	}
}
