export default function Layout(props) {
  return (
    <html lang="en">
      <body>{props.children}</body>
    </html>
  )
}
