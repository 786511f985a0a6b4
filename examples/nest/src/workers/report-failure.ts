export default ({ url }: { url: string }): string => `${url} has failed`
