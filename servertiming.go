package echobun

import (
	"bufio"
	"net"
	"net/http"
)

// A timingResponse is a writer that adds a Server-Timing header when the
// header is about to leave. It is below an atomic request's, so that the
// commit counts. It stays in place after the middleware, for the answers of
// the error handler.
type timingResponse struct {
	http.ResponseWriter

	t    *timings
	sent bool
}

func (r *timingResponse) send() {
	if r.sent {
		return
	}
	r.sent = true
	if value := r.t.header(); value != "" {
		r.Header().Add("Server-Timing", value)
	}
}

// WriteHeader adds the header to what is sent, unless that only informs.
func (r *timingResponse) WriteHeader(status int) {
	if status < 100 || status >= 200 || status == http.StatusSwitchingProtocols {
		r.send()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write adds the header, if there was no WriteHeader.
func (r *timingResponse) Write(b []byte) (int, error) {
	r.send()
	return r.ResponseWriter.Write(b)
}

// Flush sends what is there.
func (r *timingResponse) Flush() { _ = r.FlushError() }

// FlushError is Flush for [http.ResponseController].
func (r *timingResponse) FlushError() error {
	r.send()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack hands the connection over.
func (r *timingResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (r *timingResponse) Unwrap() http.ResponseWriter { return r.ResponseWriter }
