//! How DingTalk and Feishu know that a message is from somebody who has the robot's secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::hmac;
use serde_json::Value;

/// DingTalk's: in the query, in milliseconds, of the time and the secret under the secret.
pub fn dingtalk(url: &mut reqwest::Url, secret: &str, now: Timestamp) {
    let time = now.as_millisecond().to_string();
    let sign = mac(secret, &format!("{time}\n{secret}"));
    url.query_pairs_mut().append_pair("timestamp", &time).append_pair("sign", &sign);
}

/// Feishu's: in the body, in seconds, of nothing under the time and the secret.
pub fn feishu(body: &mut Value, secret: &str, now: Timestamp) {
    let time = now.as_second().to_string();
    let sign = mac(&format!("{time}\n{secret}"), "");
    if let Some(fields) = body.as_object_mut() {
        fields.insert("timestamp".to_owned(), time.into());
        fields.insert("sign".to_owned(), sign.into());
    }
}

fn mac(key: &str, text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOON: Timestamp = Timestamp::constant(1_767_268_800, 123_000_000);

    /// The values are what `openssl dgst -sha256 -hmac` gives.
    #[test]
    fn the_signatures_are_those_that_the_vendors_compute() {
        let mut url: reqwest::Url = "https://oapi.dingtalk.com/robot/send?access_token=t".parse().unwrap();
        dingtalk(&mut url, "SECx", NOON);
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let want = [
            pair("access_token", "t"),
            pair("timestamp", "1767268800123"),
            pair("sign", "UbfG6DxFypvP77JRkGRmx5w4Uaso+knSpr74d2dHCqU="),
        ];
        assert_eq!(query, want);
        assert!(!url.query().unwrap().contains(['+', ' ']), "a + would be read as a space: {url}");

        let mut body = json!({"msg_type": "text"});
        feishu(&mut body, "s", NOON);
        assert_eq!(
            body,
            json!({"msg_type": "text", "timestamp": "1767268800", "sign": "Ds880y7g76pa1CO2UJGsM1k5WXMgn0Y6tKGcau17I0k="})
        );
    }
}
