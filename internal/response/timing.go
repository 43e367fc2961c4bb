package response

import (
	"bufio"
	"net"
	"net/http"
	"slices"
)

// A Timing is a writer that adds a Server-Timing header when the
// header is about to leave. It is below an atomic request's, so that the
// commit counts. It stays in place after the middleware, for the answers of
// the error handler.
type Timing struct {
	http.ResponseWriter

	t     *Timings
	value string // What is among the headers for now.
	sent  bool
}

// NewTiming returns a writer before w.
func NewTiming(w http.ResponseWriter, t *Timings) *Timing {
	return &Timing{ResponseWriter: w, t: t}
}

// serverTiming is the header's name.
const serverTiming = "Server-Timing"

// send puts the header where it leaves from.
func (r *Timing) send() {
	if !r.sent {
		r.sent = true
		r.put()
	}
}

// put makes the header say what is known by now, beside what the application says there.
func (r *Timing) put() {
	h := r.Header()
	values := h[serverTiming]
	if i := slices.Index(values, r.value); r.value != "" && i >= 0 {
		values = slices.Delete(values, i, i+1)
	}
	if r.value = r.t.header(); r.value != "" {
		values = append(values, r.value)
	}
	if len(values) > 0 {
		h[serverTiming] = values
	}
}

// Finish is called at the end of the middleware. It leaves the header to who
// writes the answer later: net/http, where there is none, or the error handler,
// perhaps past this writer.
func (r *Timing) Finish() {
	if !r.sent {
		r.put()
	}
}

// WriteHeader adds the header to what is sent, unless that only informs.
func (r *Timing) WriteHeader(status int) {
	if status < 100 || status >= 200 || status == http.StatusSwitchingProtocols {
		r.send()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write adds the header, if there was no WriteHeader.
func (r *Timing) Write(b []byte) (int, error) {
	r.send()
	return r.ResponseWriter.Write(b)
}

// Flush sends what is there.
func (r *Timing) Flush() { _ = r.FlushError() }

// FlushError is Flush for [http.ResponseController].
func (r *Timing) FlushError() error {
	r.send()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack hands the connection over.
func (r *Timing) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Push starts a server push, where there is such a thing.
func (r *Timing) Push(target string, opts *http.PushOptions) error {
	if p, ok := r.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap is for [http.ResponseController].
func (r *Timing) Unwrap() http.ResponseWriter { return r.ResponseWriter }
