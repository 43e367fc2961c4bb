package echobun_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// Whatever outlives the request gets an error, and never a database.
func TestOutlivingTheRequest(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.Middleware())

	var kept *echobun.Session
	var keptCtx context.Context
	proceed, done := make(chan struct{}), make(chan error, 4)
	e.GET("/", func(c echo.Context) error {
		kept, keptCtx = sessionOf(c), c.Request().Context()
		ctx, db, query := keptCtx, kept, kept.NewRaw("SELECT 1")
		go func() {
			<-proceed
			_, err := db.NewRaw("SELECT 1").Exec(ctx)
			done <- err
			_, err = query.Exec(ctx)
			done <- err
			_, err = x.Session(ctx)
			done <- err
			_, err = x.Session(context.Background())
			done <- err
		}()
		return nil
	})
	require.Equal(t, http.StatusOK, request(e, http.MethodGet, "/").Code)
	close(proceed)
	for range 3 {
		require.ErrorIs(t, <-done, echobun.ErrAppContextEnded)
	}
	err := <-done
	require.ErrorIs(t, err, echobun.ErrNoAppContext)
	require.NotErrorIs(t, err, echobun.ErrAppContextEnded)

	requireEnded(t, kept)
	_, err = x.Session(keptCtx)
	require.ErrorIs(t, err, echobun.ErrAppContextEnded)
	require.Zero(t, x.Engine().Stats().OpenConnections)

	// With an app context of its own, work may outlive the request.
	ctx, end := x.AppContext(context.WithoutCancel(keptCtx))
	defer end()
	s, err := x.Session(ctx)
	require.NoError(t, err)
	_, err = s.NewRaw("SELECT 1").Exec(ctx)
	require.NoError(t, err)
}

// A panic passes by, inside and outside Recover, and ends the app context; so
// do [http.ErrAbortHandler] and [runtime.Goexit].
func TestMiddlewarePanics(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	recoverer := middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }})
	for _, tt := range []struct {
		name    string
		use     []echo.MiddlewareFunc
		value   any
		escapes bool
	}{
		{"InsideRecover", []echo.MiddlewareFunc{recoverer, x.Middleware()}, "boom", false},
		{"OutsideRecover", []echo.MiddlewareFunc{x.Middleware(), recoverer}, "boom", false},
		{"NoRecover", []echo.MiddlewareFunc{x.Middleware()}, "boom", true},
		{"AbortHandler", []echo.MiddlewareFunc{recoverer, x.Middleware()}, http.ErrAbortHandler, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := echo.New()
			e.Use(tt.use...)
			var s *echobun.Session
			var tx bun.Tx
			e.GET("/", func(c echo.Context) error {
				s = sessionOf(c)
				var err error
				tx, err = s.Bind("").BeginTx(c.Request().Context(), nil)
				require.NoError(t, err)
				panic(tt.value)
			})
			send := func() { require.Equal(t, http.StatusInternalServerError, request(e, http.MethodGet, "/").Code) }
			if tt.escapes {
				require.PanicsWithValue(t, tt.value, send)
			} else {
				send()
			}
			requireEnded(t, s)
			require.Error(t, tx.Commit(), "what was open is rolled back")
		})
	}
	require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
}

func TestMiddlewareGoexit(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.Middleware())
	var s *echobun.Session
	e.GET("/", func(c echo.Context) error { s = sessionOf(c); runtime.Goexit(); return nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		request(e, http.MethodGet, "/")
	}()
	<-done
	requireEnded(t, s)
}

func TestMiddlewareAfterClose(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/", func(c echo.Context) error {
		_, err := sessionOf(c).NewRaw("SELECT 1").Exec(c.Request().Context())
		require.ErrorIs(t, err, echobun.ErrClosed)
		_, err = x.Session(c.Request().Context())
		require.ErrorIs(t, err, echobun.ErrClosed)
		return nil
	})
	require.NoError(t, x.Close())
	require.Equal(t, http.StatusOK, request(e, http.MethodGet, "/").Code)
}

// A client that leaves cancels its statements, and a ContextTimeout does on
// either side of the middleware.
func TestMiddlewareCancelled(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	limit := middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{Timeout: 20 * time.Millisecond})
	handler := func(c echo.Context) error {
		<-c.Request().Context().Done()
		_, err := sessionOf(c).NewRaw("SELECT 1").Exec(c.Request().Context())
		return err
	}
	e := echo.New()
	e.GET("/left", handler, x.Middleware())
	e.GET("/outside", handler, limit, x.Middleware())
	e.GET("/inside", handler, x.Middleware(), limit)

	for _, path := range []string{"/outside", "/inside"} {
		require.Equal(t, http.StatusServiceUnavailable, request(e, http.MethodGet, path).Code, path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/left", nil).WithContext(ctx))
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
}

// The files of an upload are net/http's to remove, which knows the request
// that it made and no copy.
func TestUploadLeavesNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	one, two := scopeExtension(t), scopeExtension(t)
	e := echo.New()
	e.Use(one.Middleware(), two.MiddlewareWithConfig(echobun.MiddlewareConfig{ContextKey: "two"}), one.Middleware())
	during := 0
	e.POST("/", func(c echo.Context) error {
		if err := c.Request().ParseMultipartForm(1 << 10); err != nil {
			return err
		}
		file, err := c.FormFile("file")
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "multipart-*"))
		during = len(files)
		return errors.Join(err, c.String(http.StatusOK, strconv.FormatInt(file.Size, 10)))
	})
	server := httptest.NewServer(e)
	defer server.Close()

	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "upload.bin")
	require.NoError(t, err)
	_, err = part.Write(bytes.Repeat([]byte("x"), 12<<20))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	res, err := server.Client().Post(server.URL, form.FormDataContentType(), &body)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "12582912", string(text))
	require.Equal(t, 1, during, "the upload was on disk")

	server.Close() // Waits until the request is over.
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range left {
		require.False(t, strings.HasPrefix(f.Name(), "multipart-"), f.Name())
	}
}
