package echobun

import (
	"slices"
	"strings"
)

// isFlasks reports whether a key of a whole app.config is that of Flask, or of
// one of its extensions, and so of no concern here. A key of SQLAlchemy's never
// is: it is mistyped, or means something that is not there.
func isFlasks(key string) bool {
	if slices.Contains(flaskKeys, key) {
		return true
	}
	return slices.ContainsFunc(flaskPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// flaskKeys are what Flask itself reads, in all of its versions.
var flaskKeys = []string{
	"APPLICATION_ROOT", "DEBUG", "ENV", "EXPLAIN_TEMPLATE_LOADING", "JSONIFY_MIMETYPE", "JSONIFY_PRETTYPRINT_REGULAR",
	"JSON_AS_ASCII", "JSON_SORT_KEYS", "LOGGER_HANDLER_POLICY", "LOGGER_NAME", "MAX_CONTENT_LENGTH", "MAX_COOKIE_SIZE",
	"MAX_FORM_MEMORY_SIZE", "MAX_FORM_PARTS", "PERMANENT_SESSION_LIFETIME", "PREFERRED_URL_SCHEME", "PRESERVE_CONTEXT_ON_EXCEPTION",
	"PROPAGATE_EXCEPTIONS", "PROVIDE_AUTOMATIC_OPTIONS", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "SEND_FILE_MAX_AGE_DEFAULT",
	"SERVER_NAME", "TEMPLATES_AUTO_RELOAD", "TESTING", "TRAP_BAD_REQUEST_ERRORS", "TRAP_HTTP_EXCEPTIONS", "TRUSTED_HOSTS",
	"USE_X_SENDFILE",
}

// flaskPrefixes begin the keys of Flask's sessions and of its usual extensions.
var flaskPrefixes = []string{
	"BABEL_", "BCRYPT_", "CACHE_", "CELERY_", "COMPRESS_", "CORS_", "DEBUG_TB_", "FLASK_ADMIN_", "JWT_", "LOGIN_", "MAIL_",
	"RATELIMIT_", "REDIS_", "REMEMBER_COOKIE_", "SECURITY_", "SENTRY_", "SESSION_", "TALISMAN_", "WTF_",
}
