package tarsplit

// OpenLimited is Open with a smaller limit on the whole record.
var OpenLimited = open
