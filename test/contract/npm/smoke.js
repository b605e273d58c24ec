// Sends a list of requests, each signed by the core of Huawei's SDK for
// Node.js, and writes the answers. Reads {endpoint, ak, sk, project, requests}
// from standard input; writes a list of {status, code, body}.
'use strict';

const { readFileSync } = require('node:fs');
const { BasicCredentials } = require('@huaweicloud/huaweicloud-sdk-core/auth/BasicCredentials');
const { HcClient } = require('@huaweicloud/huaweicloud-sdk-core/HcClient');
const { DefaultHttpClient } = require('@huaweicloud/huaweicloud-sdk-core/http/DefaultHttpClient');

const input = JSON.parse(readFileSync(0, 'utf8'));
const credential = new BasicCredentials().withAk(input.ak).withSk(input.sk).withProjectId(input.project);
// The core writes every refusal into its log.
const logger = { log() {}, debug() {}, info() {}, warn() {}, error() {} };
const http = new DefaultHttpClient({ logger }, [input.endpoint]);
const client = new HcClient(http, {}).withEndpoints([input.endpoint]).withCredential(credential);

// What earlier answers told, by the names that the list gives.
const taken = { project_id: input.project };

function filled(value) {
  if (typeof value === 'string') {
    return value.replace(/\$\{(\w+)\}/g, (_, name) => taken[name]);
  }
  if (Array.isArray(value)) {
    return value.map(filled);
  }
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, filled(v)]));
  }
  return value;
}

async function send(request) {
  try {
    const { httpStatusCode: status, ...body } = await client.sendRequest({
      method: request.method,
      url: '/v5/{project_id}' + request.path,
      contentType: 'application/json',
      pathParams: filled({ project_id: input.project, ...request.params }),
      queryParams: filled(request.query ?? {}),
      headers: {},
      data: filled(request.body),
    });
    return { status, code: '', body };
  } catch (e) {
    if (!e.httpStatusCode || !e.errorMsg || !e.requestId) {
      throw e;
    }
    return { status: e.httpStatusCode, code: e.errorCode, body: {} };
  }
}

async function main() {
  const answers = [];
  for (const request of input.requests) {
    const answer = await send(request);
    for (const [name, path] of Object.entries(request.take ?? {})) {
      taken[name] = path.split('.').reduce((at, key) => at?.[key], answer.body);
    }
    answers.push(answer);
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
