// #region config
export default { serverExternalPackages: ['aftertask'] }
// #endregion config
