// Package composer reads vendor/composer/installed.json, in which Composer
// (PHP) keeps what it has installed: since version 2 an object with a list of
// packages, before that the bare list. Its twin installed.php says no more of
// them; composer.lock is what the project asks for and is read by package
// lockfile.
//
// Names are written in lower case, as Packagist and Composer compare them.
package composer
