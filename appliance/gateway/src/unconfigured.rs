//! Questions about what a bucket of this vault never has, answered as S3 answers for a bucket in which
//! nobody configured it.

use hyper::StatusCode;
use s3s::dto::{
    GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput,
    GetBucketAnalyticsConfigurationInput, GetBucketAnalyticsConfigurationOutput,
    GetBucketIntelligentTieringConfigurationInput, GetBucketIntelligentTieringConfigurationOutput,
    GetBucketInventoryConfigurationInput, GetBucketInventoryConfigurationOutput,
    GetBucketLoggingInput, GetBucketLoggingOutput, GetBucketMetricsConfigurationInput,
    GetBucketMetricsConfigurationOutput, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, ListBucketAnalyticsConfigurationsInput,
    ListBucketAnalyticsConfigurationsOutput, ListBucketIntelligentTieringConfigurationsInput,
    ListBucketIntelligentTieringConfigurationsOutput, ListBucketInventoryConfigurationsInput,
    ListBucketInventoryConfigurationsOutput, ListBucketMetricsConfigurationsInput,
    ListBucketMetricsConfigurationsOutput, Payer,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::error::custom;
use crate::service::{Service, plain};

macro_rules! unconfigured {
    ($($function:ident, $input:ident, $output:ident => $answer:expr;)*) => {
        $(
            pub(crate) async fn $function(
                service: &Service,
                request: S3Request<$input>,
            ) -> S3Result<S3Response<$output>> {
                service.caller(&request)?.bucket(&request.input.bucket).await?;
                $answer
            }
        )*
    };
}

/// Nothing of that name.
fn none<T>() -> S3Result<T> {
    let error: S3Error = custom(
        StatusCode::NOT_FOUND,
        "NoSuchConfiguration",
        "the specified configuration does not exist",
    );
    Err(error)
}

unconfigured! {
    accelerate, GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput
        => plain(GetBucketAccelerateConfigurationOutput::default());
    logging, GetBucketLoggingInput, GetBucketLoggingOutput
        => plain(GetBucketLoggingOutput::default());
    notification, GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput
        => plain(GetBucketNotificationConfigurationOutput::default());
    request_payment, GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput
        => plain(GetBucketRequestPaymentOutput {
            payer: Some(Payer::from_static(Payer::BUCKET_OWNER)),
        });
    analytics, GetBucketAnalyticsConfigurationInput, GetBucketAnalyticsConfigurationOutput
        => none();
    inventory, GetBucketInventoryConfigurationInput, GetBucketInventoryConfigurationOutput
        => none();
    metrics, GetBucketMetricsConfigurationInput, GetBucketMetricsConfigurationOutput => none();
    tiering, GetBucketIntelligentTieringConfigurationInput,
        GetBucketIntelligentTieringConfigurationOutput => none();
    all_analytics, ListBucketAnalyticsConfigurationsInput, ListBucketAnalyticsConfigurationsOutput
        => plain(ListBucketAnalyticsConfigurationsOutput {
            is_truncated: Some(false),
            ..ListBucketAnalyticsConfigurationsOutput::default()
        });
    all_inventory, ListBucketInventoryConfigurationsInput, ListBucketInventoryConfigurationsOutput
        => plain(ListBucketInventoryConfigurationsOutput {
            is_truncated: Some(false),
            ..ListBucketInventoryConfigurationsOutput::default()
        });
    all_metrics, ListBucketMetricsConfigurationsInput, ListBucketMetricsConfigurationsOutput
        => plain(ListBucketMetricsConfigurationsOutput {
            is_truncated: Some(false),
            ..ListBucketMetricsConfigurationsOutput::default()
        });
    all_tiering, ListBucketIntelligentTieringConfigurationsInput,
        ListBucketIntelligentTieringConfigurationsOutput
        => plain(ListBucketIntelligentTieringConfigurationsOutput {
            is_truncated: Some(false),
            ..ListBucketIntelligentTieringConfigurationsOutput::default()
        });
}
