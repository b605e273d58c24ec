package java

import (
	"strconv"
	"strings"
)

// groups are those of artifacts that are published without Maven's files in
// their archives, or were when they were young.
var groups = map[string]string{
	"bsh":                           "org.beanshell",
	"commons-collections4":          "org.apache.commons",
	"commons-compress":              "org.apache.commons",
	"commons-configuration2":        "org.apache.commons",
	"commons-csv":                   "org.apache.commons",
	"commons-dbcp2":                 "org.apache.commons",
	"commons-email":                 "org.apache.commons",
	"commons-exec":                  "org.apache.commons",
	"commons-fileupload2":           "org.apache.commons",
	"commons-jexl3":                 "org.apache.commons",
	"commons-lang3":                 "org.apache.commons",
	"commons-math3":                 "org.apache.commons",
	"commons-pool2":                 "org.apache.commons",
	"commons-text":                  "org.apache.commons",
	"commons-vfs2":                  "org.apache.commons",
	"dom4j":                         "dom4j",
	"ehcache-core":                  "net.sf.ehcache",
	"fop":                           "org.apache.xmlgraphics",
	"itext":                         "com.lowagie",
	"jdom2":                         "org.jdom",
	"protobuf-java":                 "com.google.protobuf",
	"protobuf-java-util":            "com.google.protobuf",
	"scala-actors":                  "org.scala-lang",
	"scala-compiler":                "org.scala-lang",
	"scala-library":                 "org.scala-lang",
	"scala-reflect":                 "org.scala-lang",
	"serializer":                    "xalan",
	"xmlbeans":                      "org.apache.xmlbeans",
	"antlr":                         "antlr",
	"aopalliance":                   "aopalliance",
	"caffeine":                      "com.github.ben-manes.caffeine",
	"cglib":                         "cglib",
	"cglib-nodep":                   "cglib",
	"commons-beanutils":             "commons-beanutils",
	"commons-chain":                 "commons-chain",
	"commons-cli":                   "commons-cli",
	"commons-codec":                 "commons-codec",
	"commons-collections":           "commons-collections",
	"commons-configuration":         "commons-configuration",
	"commons-daemon":                "commons-daemon",
	"commons-dbcp":                  "commons-dbcp",
	"commons-dbutils":               "commons-dbutils",
	"commons-digester":              "commons-digester",
	"commons-discovery":             "commons-discovery",
	"commons-el":                    "commons-el",
	"commons-fileupload":            "commons-fileupload",
	"commons-httpclient":            "commons-httpclient",
	"commons-io":                    "commons-io",
	"commons-jexl":                  "commons-jexl",
	"commons-jxpath":                "commons-jxpath",
	"commons-lang":                  "commons-lang",
	"commons-logging":               "commons-logging",
	"commons-logging-adapters":      "commons-logging",
	"commons-logging-api":           "commons-logging",
	"commons-net":                   "commons-net",
	"commons-pool":                  "commons-pool",
	"commons-validator":             "commons-validator",
	"derby":                         "org.apache.derby",
	"elasticsearch":                 "org.elasticsearch",
	"guice":                         "com.google.inject",
	"guice-no-aop":                  "com.google.inject",
	"h2":                            "com.h2database",
	"hibernate-core":                "org.hibernate",
	"hsqldb":                        "org.hsqldb",
	"jsr305":                        "com.google.code.findbugs",
	"jython":                        "org.python",
	"jython-standalone":             "org.python",
	"kafka-clients":                 "org.apache.kafka",
	"log4j":                         "log4j",
	"mysql-connector-j":             "com.mysql",
	"mysql-connector-java":          "mysql",
	"okhttp":                        "com.squareup.okhttp3",
	"okio":                          "com.squareup.okio",
	"opensearch":                    "org.opensearch",
	"postgresql":                    "org.postgresql",
	"reactor-core":                  "io.projectreactor",
	"reactor-netty":                 "io.projectreactor.netty",
	"struts":                        "struts",
	"xalan":                         "xalan",
	"xercesImpl":                    "xerces",
	"xml-apis":                      "xml-apis",
	"ant":                           "org.apache.ant",
	"velocity":                      "org.apache.velocity",
	"velocity-engine-core":          "org.apache.velocity",
	"spring":                        "org.springframework",
	"spring-boot":                   "org.springframework.boot",
	"micrometer-registry-elastic":   "io.micrometer",
	"okhttp-urlconnection":          "com.squareup.okhttp3",
	"okhttp-logging-interceptor":    "com.squareup.okhttp3",
	"reactor-netty-core":            "io.projectreactor.netty",
	"reactor-netty-http":            "io.projectreactor.netty",
	"elasticsearch-core":            "org.elasticsearch",
	"elasticsearch-cli":             "org.elasticsearch",
	"elasticsearch-x-content":       "org.elasticsearch",
	"elasticsearch-rest-client":     "org.elasticsearch.client",
	"kafka-streams":                 "org.apache.kafka",
	"kafka-server-common":           "org.apache.kafka",
	"connect-api":                   "org.apache.kafka",
	"connect-runtime":               "org.apache.kafka",
	"tomcat-embed-jasper":           "org.apache.tomcat.embed",
	"hibernate-commons-annotations": "org.hibernate.common",
}

// families are groups by the beginning of the artifact; the longest beginning
// counts.
var families = []struct{ prefix, group string }{
	{"ant-", "org.apache.ant"},
	{"asm", "asm"},
	{"batik-", "org.apache.xmlgraphics"},
	{"bcmail-", "org.bouncycastle"},
	{"bcpg-", "org.bouncycastle"},
	{"bcpkix-", "org.bouncycastle"},
	{"bcprov-", "org.bouncycastle"},
	{"bctls-", "org.bouncycastle"},
	{"bcutil-", "org.bouncycastle"},
	{"derby", "org.apache.derby"},
	{"groovy", "org.codehaus.groovy"},
	{"grpc-", "io.grpc"},
	{"guice-", "com.google.inject.extensions"},
	{"kafka_", "org.apache.kafka"},
	{"kotlin-", "org.jetbrains.kotlin"},
	{"kotlinx-coroutines-", "org.jetbrains.kotlinx"},
	{"lucene-", "org.apache.lucene"},
	{"micrometer-", "io.micrometer"},
	{"mongodb-driver", "org.mongodb"},
	{"opentelemetry-", "io.opentelemetry"},
	{"org.eclipse.core.", "org.eclipse.platform"},
	{"org.eclipse.equinox.", "org.eclipse.platform"},
	{"org.eclipse.jface", "org.eclipse.platform"},
	{"org.eclipse.osgi", "org.eclipse.platform"},
	{"org.eclipse.swt", "org.eclipse.platform"},
	{"org.eclipse.ui", "org.eclipse.platform"},
	{"spring-", "org.springframework"},
	{"spring-batch-", "org.springframework.batch"},
	{"spring-boot-", "org.springframework.boot"},
	{"spring-cloud-", "org.springframework.cloud"},
	{"spring-data-", "org.springframework.data"},
	{"spring-integration-", "org.springframework.integration"},
	{"spring-kafka", "org.springframework.kafka"},
	{"spring-security-", "org.springframework.security"},
	{"spring-session-", "org.springframework.session"},
	{"spring-ws-", "org.springframework.ws"},
	{"tomcat-", "org.apache.tomcat"},
	{"tomcat-embed-", "org.apache.tomcat.embed"},
}

// moved are groups that artifacts have had since a release.
var moved = []struct {
	prefix string
	major  int
	group  string
}{
	{"asm", 4, "org.ow2.asm"},
	{"dom4j", 2, "org.dom4j"},
	{"groovy", 4, "org.apache.groovy"},
	{"hibernate-core", 6, "org.hibernate.orm"},
}

// knownGroup is the group of an artifact, "" if the tables do not know it.
func knownGroup(artifact, version string) string {
	group, length := groups[artifact], 0
	if group == "" {
		for _, f := range families {
			if member(artifact, f.prefix) && len(f.prefix) > length {
				group, length = f.group, len(f.prefix)
			}
		}
	}
	if group == "" {
		return ""
	}
	major, err := strconv.Atoi(majorOf(version))
	for _, m := range moved {
		if err == nil && major >= m.major && member(artifact, m.prefix) {
			return m.group
		}
	}
	return group
}

// member reports whether artifact belongs to a family: it begins with the
// prefix, and goes on behind a word's end if the prefix is a short one.
func member(artifact, prefix string) bool {
	rest, ok := strings.CutPrefix(artifact, prefix)
	return ok && (len(prefix) > 4 || rest == "" || rest[0] == '-' || strings.HasSuffix(prefix, "-"))
}
