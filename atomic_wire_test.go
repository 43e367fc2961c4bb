package echobun_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// Over a real connection: streams, hijacking, and a client that goes away.
func TestAtomicOnTheWire(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)

	s.GET("/sse", func(c echo.Context) error {
		require.NoError(t, s.write(c, "sse", false))
		w := c.Response()
		w.Header().Set(echo.HeaderContentType, "text/event-stream")
		require.NoError(t, http.NewResponseController(w).Flush())
		requireNamed(t, s.x, "sse", 1, 1, 0)
		requireAtRest(t, s.x)
		for range 3 {
			_, err := fmt.Fprint(w, "data: x\n\n")
			require.NoError(t, err)
			w.Flush()
		}
		return nil
	}, s.atomically())
	require.Equal(t, strings.Repeat("data: x\n\n", 3), fetch(t, server.URL+"/sse"))

	s.GET("/hijack", func(c echo.Context) error {
		if err := s.write(c, "hijack"+c.QueryParam("n"), c.QueryParam("n") == "2"); err != nil {
			return err
		}
		conn, _, err := c.Response().Hijack()
		if err != nil {
			return err
		}
		defer conn.Close()
		requireNamed(t, s.x, "hijack1", 1, 1, 0)
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhijack"))
		return err
	}, s.atomically())
	require.Equal(t, "hijack", fetch(t, server.URL+"/hijack?n=1"))
	require.Contains(t, fetch(t, server.URL+"/hijack?n=2"), "Internal Server Error")

	started := make(chan struct{})
	s.GET("/gone", func(c echo.Context) error {
		require.NoError(t, s.write(c, "gone", false))
		close(started)
		<-c.Request().Context().Done()
		return c.NoContent(http.StatusCreated)
	}, s.atomically())
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/gone", nil)
	require.NoError(t, err)
	go func() { <-started; cancel() }()
	_, err = server.Client().Do(req) //nolint:bodyclose // The call has to fail, so there is no body.
	require.ErrorIs(t, err, context.Canceled)
	server.Close()
	requireAtRest(t, s.x)
	requireNamed(t, s.x, "gone", 0, 0, 0)
	require.ErrorIs(t, s.errs[len(s.errs)-1], context.Canceled)
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestAtomicHead(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.HEAD("/", func(c echo.Context) error {
		require.NoError(t, s.write(c, "head", false))
		return c.Blob(http.StatusOK, "text/plain", []byte("x"))
	}, s.atomically())
	require.Equal(t, http.StatusOK, s.do(http.MethodHead, "/").Code)
	requireNamed(t, s.x, "head", 1, 1, 0)
}

func TestAtomicUploadLeavesNoFile(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.POST("/", func(c echo.Context) error {
		if _, err := c.FormFile("f"); err != nil {
			return err
		}
		return s.write(c, "upload", false)
	}, s.atomically())
	body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + strings.Repeat("x", 100) + "\r\n--b--\r\n"
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewBufferString(body))
	req.Header.Set(echo.HeaderContentType, "multipart/form-data; boundary=b")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	require.Equal(t, http.StatusOK, rec.Code)
	require.NotNil(t, req.MultipartForm, "net/http can remove the files")
	requireNamed(t, s.x, "upload", 1, 1, 0)
}
