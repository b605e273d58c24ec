package planted

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"math/rand/v2"
	"regexp"
	"strings"
)

// A Secret is a file with one kind of secret. Each {{pattern}} of its text is
// replaced by something random that matches it, so that none is a secret here.
type Secret struct {
	Kind, Path, Text string
}

const (
	word   = `[0-9A-Za-z]`
	digits = `[0-9a-f]`
	uuid   = digits + `{8}-` + digits + `{4}-4` + digits + `{3}-a` + digits + `{3}-` + digits + `{12}`
	pass   = Password
)

// Password is a pattern of passwords that nobody has, and that no check takes
// for a placeholder.
const Password = `[a-z]{4}[A-Z]{3}[0-9]{3}[!_]` + word + `{3}`

// Secrets are the kinds that people leave in images.
var Secrets = []Secret{
	{"aws pair", "/root/.aws/credentials", "[default]\naws_access_key_id = {{AKIA[A-Z2-7]{16}}}\naws_secret_access_key = {{[0-9A-Za-z/+]{40}}}\n"},
	{"aws in code", "/app/upload.py", "s3 = client('s3', aws_access_key_id='{{AKIA[A-Z2-7]{16}}}',\n  aws_secret_access_key='{{[0-9A-Za-z/+]{40}}}')\n"},
	{"huawei pair", "/app/obs.yaml", "obs:\n  endpoint: obs.cn-north-4.myhuaweicloud.com\n  ak: {{[B-Z][A-Z0-9]{19}}}\n  sk: {{[0-9A-Za-z]{40}}}\n"},
	{"huawei sdk variables", "/app/run.sh", "export HUAWEICLOUD_SDK_AK={{[B-Z][A-Z0-9]{19}}}\nexport HUAWEICLOUD_SDK_SK={{[0-9A-Za-z]{40}}}\n"},
	{"huawei obsutil", "/root/.obsutilconfig", "endpoint=obs.example.test\nak={{[B-Z][A-Z0-9]{19}}}\nsk={{[0-9A-Za-z]{40}}}\n"},
	{"alibaba pair", "/app/oss.properties", "aliyun.accessKeyId={{LTAI5t[0-9A-Za-z]{18}}}\naliyun.accessKeySecret={{[0-9A-Za-z]{30}}}\n"},
	{"alibaba cli", "/root/.aliyun/config.json", `{"profiles":[{"name":"a","access_key_id":"{{LTAI5t[0-9A-Za-z]{18}}}","access_key_secret":"{{[0-9A-Za-z]{30}}}"}]}`},
	{"tencent pair", "/app/cos.ini", "secret_id = {{AKID[0-9A-Za-z]{32}}}\nsecret_key = {{[0-9A-Za-z]{32}}}\n"},
	{"gcp api key", "/app/maps.js", `const key = "{{AIza[0-9A-Za-z_-]{35}}}";`},
	{"gcp refresh token", "/root/.config/gcloud/application_default_credentials.json", `{"client_id": "764086051850.apps", "refresh_token": "{{1//0[0-9A-Za-z_-]{60}}}", "type": "authorized_user"}`},
	{"azure storage", "/app/appsettings.json", `{"Storage":"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={{[0-9A-Za-z+/]{86}==}};EndpointSuffix=core.windows.net"}`},
	{"azure client secret", "/app/azure.env", "AZURE_CLIENT_SECRET={{[0-9A-Za-z]{3}8Q~[0-9A-Za-z_.-]{34}}}\n"},
	{"digitalocean", "/app/do.tf", `token = "{{dop_v1_[0-9a-f]{64}}}"`},
	{"heroku", "/app/heroku.sh", "HEROKU_API_KEY={{" + uuid + "}}\n"},
	{"cloudflare", "/app/cf.env", "CLOUDFLARE_API_TOKEN={{[0-9A-Za-z_-]{40}}}\n"},
	{"github pat", "/app/ci.yml", "token: {{ghp_[0-9A-Za-z]{36}}}\n"},
	{"github fine-grained", "/app/ci2.yml", "token: {{github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}}}\n"},
	{"github app", "/app/a.txt", "x-access-token {{ghs_[0-9A-Za-z]{36}}}\n"},
	{"gitlab pat", "/app/b.sh", "curl -H 'PRIVATE-TOKEN: {{glpat-[0-9A-Za-z_-]{20}}}' https://gitlab.example.test/api\n"},
	{"gitlab runner", "/etc/gitlab-runner/config.toml", "[[runners]]\n  token = \"{{glrt-[0-9A-Za-z_-]{20}}}\"\n"},
	{"gitee", "/app/gitee.yaml", "gitee_access_token: {{[0-9a-f]{32}}}\n"},
	{"bitbucket", "/app/bb.txt", "app password {{ATBB[0-9A-Za-z]{32}}}\n"},
	{"npm", "/root/.npmrc", "//registry.npmjs.org/:_authToken={{npm_[0-9A-Za-z]{36}}}\n"},
	{"npm legacy", "/app/.npmrc", "//npm.corp.test/:_authToken={{" + uuid + "}}\n"},
	{"pypi", "/root/.pypirc", "[pypi]\nusername = __token__\npassword = {{pypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{120}}}\n"},
	{"pypirc password", "/home/ci/.pypirc", "[corp]\nrepository = https://pypi.corp.test\nusername = ci\npassword = {{" + pass + "}}\n"},
	{"docker config", "/root/.docker/config.json", `{"auths":{"registry.corp.test":{"auth":"{{[0-9A-Za-z+/]{31}=}}"}}}`},
	{"docker hub", "/app/c.txt", "docker pat {{dckr_pat_[0-9A-Za-z_-]{27}}}\n"},
	{"kubeconfig token", "/root/.kube/config", "apiVersion: v1\nkind: Config\nusers:\n- name: admin\n  user:\n    token: {{[0-9a-z]{6}[.][0-9a-z]{16}}}\n"},
	{"netrc", "/root/.netrc", "machine git.corp.test\n  login ci\n  password {{" + pass + "}}\n"},
	{"pgpass", "/root/.pgpass", "db.corp.test:5432:shop:shop:{{" + pass + "}}\n"},
	{"git credentials", "/root/.git-credentials", "https://ci:{{" + pass + "}}@git.corp.test\n"},
	{"redis", "/etc/redis/redis.conf", "bind 0.0.0.0\nrequirepass {{" + pass + "}}\n"},
	{"tomcat", "/opt/tomcat/conf/tomcat-users.xml", `<tomcat-users><user username="admin" password="{{` + pass + `}}" roles="manager-gui"/></tomcat-users>`},
	{"mysql", "/root/.my.cnf", "[client]\nuser=root\npassword={{" + pass + "}}\n"},
	{"postgres url", "/app/.env", "DATABASE_URL=postgres://shop:{{" + pass + "}}@db.corp.test:5432/shop\n"},
	{"mongodb url", "/app/m.js", `connect("mongodb+srv://shop:{{` + pass + `}}@cluster0.abcde.mongodb.net/shop")`},
	{"redis url", "/app/r.rb", `Redis.new(url: "redis://:{{` + pass + `}}@cache.corp.test:6379/0")`},
	{"amqp url", "/app/q.py", `broker = "amqp://shop:{{` + pass + `}}@mq.corp.test//"`},
	{"jdbc", "/app/application.properties", "spring.datasource.url=jdbc:mysql://db.corp.test/shop?user=shop&password={{" + pass + "}}\n"},
	{"spring password", "/app/application.yml", "spring:\n  datasource:\n    username: shop\n    password: {{" + pass + "}}\n"},
	{"ado connection string", "/app/web.config", `<add connectionString="Server=db.corp.test;Database=shop;User Id=sa;Password={{` + pass + `}};" />`},
	{"slack bot", "/app/s.py", `slack = "{{xoxb-[1-9][0-9]{11}-[1-9][0-9]{11}-[0-9A-Za-z]{24}}}"`},
	{"slack webhook", "/app/n.sh", "curl -d @- https://hooks.slack.com/services/{{T[0-9A-Z]{8}/B[0-9A-Z]{8}/[0-9A-Za-z]{24}}}\n"},
	{"discord webhook", "/app/d.sh", "url=https://discord.com/api/webhooks/{{[1-9][0-9]{17}/[0-9A-Za-z_-]{68}}}\n"},
	{"dingtalk robot", "/app/ding.sh", "curl 'https://oapi.dingtalk.com/robot/send?access_token={{[0-9a-f]{64}}}'\n"},
	{"feishu robot", "/app/fs.sh", "https://open.feishu.cn/open-apis/bot/v2/hook/{{" + uuid + "}}\n"},
	{"telegram", "/app/t.env", "TELEGRAM_BOT_TOKEN={{[1-9][0-9]{9}:AA[0-9A-Za-z_-]{33}}}\n"},
	{"stripe", "/app/pay.rb", `Stripe.api_key = "{{sk_live_[0-9A-Za-z]{24}}}"`},
	{"square", "/app/sq.txt", "square {{sq0atp-[0-9A-Za-z_-]{22}}}\n"},
	{"twilio", "/app/tw.env", "TWILIO_AUTH_TOKEN={{[0-9a-f]{32}}}\n"},
	{"sendgrid", "/app/mail.js", `sg.setApiKey("{{SG[.][0-9A-Za-z_-]{22}[.][0-9A-Za-z_-]{43}}}")`},
	{"mailgun", "/app/mg.env", "MAILGUN_KEY={{key-[0-9a-f]{32}}}\n"},
	{"openai", "/app/ai.env", "OPENAI_API_KEY={{sk-proj-[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}}}\n"},
	{"anthropic", "/app/ai2.env", "ANTHROPIC_API_KEY={{sk-ant-api03-[0-9A-Za-z_-]{93}AA}}\n"},
	{"hugging face", "/app/hf.py", `login("{{hf_[A-Za-z]{34}}}")`},
	{"shopify", "/app/sh.txt", "{{shpat_[0-9a-f]{32}}}\n"},
	{"datadog", "/etc/datadog-agent/datadog.yaml", "datadog_api_key: {{[0-9a-f]{32}}}\n"},
	{"new relic", "/app/newrelic.js", `key = "{{NRAK-[A-Z0-9]{27}}}"`},
	{"grafana", "/app/gr.txt", "{{glsa_[0-9A-Za-z]{32}_[0-9a-f]{8}}}\n"},
	{"sentry", "/app/.sentryclirc", "[auth]\ntoken={{sntryu_[0-9a-f]{64}}}\n"},
	{"vault", "/app/v.sh", "VAULT_TOKEN={{hvs[.][0-9A-Za-z_-]{95}}}\n"},
	{"terraform", "/root/.terraform.d/credentials.tfrc.json", `{"credentials":{"app.terraform.io":{"token":"{{[0-9A-Za-z]{14}[.]atlasv1[.][0-9A-Za-z_-]{67}}}"}}}`},
	{"databricks", "/app/db.txt", "{{dapi[0-9a-f]{32}}}\n"},
	{"doppler", "/app/dp.txt", "{{dp[.]pt[.][0-9A-Za-z]{43}}}\n"},
	{"linear", "/app/li.txt", "{{lin_api_[0-9A-Za-z]{40}}}\n"},
	{"age", "/app/age.txt", "{{AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}}}\n"},
	{"wireguard", "/etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = {{[0-9A-Za-z+/]{43}=}}\n"},
	{"jenkins", "/app/jenkins.yaml", "jenkins_api_token: {{11[0-9a-f]{32}}}\n"},
	{"maven", "/root/.m2/settings.xml", "<settings><servers><server><id>corp</id><username>ci</username><password>{{" + pass + "}}</password></server></servers></settings>\n"},
	{"rails", "/app/config/secrets.yml", "production:\n  secret_key_base: {{[0-9a-f]{128}}}\n"},
	{"laravel", "/srv/www/.env", "APP_KEY=base64:{{[0-9A-Za-z+/]{43}=}}\n"},
	{"wordpress", "/var/www/html/wp-config.php", "define( 'DB_PASSWORD', '{{" + pass + "}}' );\n"},
	{"htpasswd", "/etc/nginx/.htpasswd", "admin:{{[$]apr1[$][0-9A-Za-z]{8}[$][0-9A-Za-z./]{22}}}\n"},
	{"ldap bind", "/etc/sssd/sssd.conf", "[domain/corp]\nldap_default_authtok = {{" + pass + "}}\n"},
	{"ansible", "/srv/ansible/hosts", "web1 ansible_host=10.0.0.5 ansible_ssh_pass={{" + pass + "}}\n"},
	{"compose environment", "/app/docker-compose.yml", "services:\n  db:\n    environment:\n      MYSQL_ROOT_PASSWORD: {{" + pass + "}}\n"},
	{"curl user", "/app/deploy.sh", "curl -u deploy:{{" + pass + "}} https://repo.corp.test/upload\n"},
	{"generic api key", "/app/settings.toml", `api_key = "{{[0-9A-Za-z]{40}}}"` + "\n"},
	{"sshpass", "/app/sync.sh", "sshpass -p '{{" + pass + "}}' scp a b:\n"},
}

var placeholder = regexp.MustCompile(`\{\{(.*?\}?)\}\}`)

// Grow makes the content of the file, and returns the values in it.
func (s Secret) Grow(r *rand.Rand) (text string, values []string) {
	text = placeholder.ReplaceAllStringFunc(s.Text, func(m string) string {
		v := Text(r, m[2:len(m)-2])
		values = append(values, v)
		return v
	})
	return text, values
}

// Keys are private keys and key stores, fresh ones, by path.
func Keys() (map[string][]byte, error) {
	rsaKey, err := rsa.GenerateKey(crand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return nil, err
	}
	_, edKey, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		return nil, err
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		return nil, err
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		return nil, err
	}
	rsa8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		return nil, err
	}
	block := func(label string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	}
	private := "PRIVATE KEY"
	escaped := strings.ReplaceAll(string(block(private, rsa8)), "\n", `\n`)
	return map[string][]byte{
		"/etc/ssl/private/rsa.pem":    block("RSA "+private, pkcs1),
		"/etc/ssl/private/pkcs8.key":  block(private, pkcs8),
		"/etc/ssl/private/ec.pem":     block("EC "+private, sec1),
		"/etc/ssl/private/locked.pem": block("ENCRYPTED "+private, bytes.Repeat(pkcs8, 4)),
		"/root/.ssh/id_ed25519":       block("OPENSSH "+private, openssh("none")),
		"/root/.ssh/id_locked":        block("OPENSSH "+private, openssh("aes256-ctr")),
		"/app/service-account.json":   []byte(`{"type": "service_account", "private_key": "` + escaped + `"}`),
		"/app/secret.yaml":            []byte("kind: Secret\ndata:\n  tls.key: " + base64.StdEncoding.EncodeToString(block(private, pkcs8)) + "\n"),
		"/app/key.der":                pkcs1,
		"/app/app.jks":                JKS(1),
		"/app/app.p12":                PKCS12(OIDShroudedBag),
	}, nil
}

// OIDs of bags in PKCS #12 files (RFC 7292, appendix D): of an encrypted key,
// and of a certificate.
var (
	OIDShroudedBag = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02}
	OIDCertBag     = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03}
)

// openssh is the outline of a key of OpenSSH (PROTOCOL.key) with a cipher.
func openssh(cipher string) []byte {
	b := append([]byte("openssh-key-v1\x00"), 0, 0, 0, byte(len(cipher)))
	b = append(b, cipher...)
	rest := make([]byte, 200)
	_, _ = crand.Read(rest)
	return append(b, rest...)
}

// JKS is a Java key store with one entry: 1 a key, 2 a certificate.
func JKS(tag uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0xfeedfeed)
	b = binary.BigEndian.AppendUint32(b, 2)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, tag)
	b = append(b, 0, 3, 'a', 'p', 'p', 0, 0, 1, 2, 3, 4, 5, 6)
	if tag == 2 {
		b = append(b, 0, 5, 'X', '.', '5', '0', '9')
	}
	b = binary.BigEndian.AppendUint32(b, 64)
	return append(b, make([]byte, 84)...)
}

// PKCS12 is the outline of a PKCS #12 file with a bag.
func PKCS12(oid []byte) []byte {
	body := append([]byte{0x02, 0x01, 0x03, 0x30, 0x82, 0x00, 0xf0}, bytes.Repeat([]byte{0x04, 0x06, 1, 2, 3, 4, 5, 6}, 20)...)
	body = append(body, oid...)
	body = append(body, make([]byte, 64)...)
	return append([]byte{0x30, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}
