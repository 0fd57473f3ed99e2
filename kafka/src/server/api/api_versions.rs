//! ApiVersions: what is served.

use crate::server::protocol::apis::{SERVED, served};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

pub(in crate::server) fn handle(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    // From version 3 on the client names itself, by letters, digits, dots and hyphens.
    let is_valid = |name: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let ends = |byte: &u8| byte.is_ascii_alphanumeric();
        let bytes = name.as_bytes();
        bytes.first().is_some_and(ends) && bytes.last().is_some_and(ends) && name.bytes().all(inner)
    };
    let names = [
        &request.client_software_name,
        &request.client_software_version,
    ];
    if version >= 3 && !names.iter().all(|name| is_valid(name)) {
        let error = ResponseError::InvalidRequest.code();
        return ApiVersionsResponse::default().with_error_code(error);
    }
    let versions = SERVED.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.advertised_from)
            .with_max_version(api.max)
    });
    ApiVersionsResponse::default().with_api_keys(versions.collect())
}

/// The answer, in version 0, to a version that is not known: the versions of this API.
pub(in crate::server) fn unknown_version() -> ApiVersionsResponse {
    let own = served(ApiKey::ApiVersions as i16).map(|api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.min)
            .with_max_version(api.max)
    });
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(own.into_iter().collect())
}
