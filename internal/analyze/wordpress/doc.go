// Package wordpress finds WordPress (wp-includes/version.php), its plugins and
// its themes. Plugins and themes introduce themselves in a comment at the start
// of one file: "Plugin Name: X", "Version: 1.2" in a PHP file directly in
// wp-content/plugins or in the plugin's directory there, "Theme Name: X" in the
// theme's style.css. The rules for the comment are those of get_file_data() of
// WordPress ("Header Requirements" in the plugin handbook).
//
// A plugin or theme is called as its directory is, because that is how
// WordPress's own directory and advisories name it. WordPress itself is a
// program of the type "generic".
package wordpress
